"""Keeps the learning curves of a run in its checkpoints, for callbacks that draw them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mixvae.callbacks.history import Curves, add_point, last_epoch, read_metrics_csv
from mixvae.logging_schedule import is_told

CHECKPOINT_KEY = "mixvae_learning_curves"


class AbstractCurveCallback(Callback):
    """Remembers the metrics of each epoch, before and after a resume."""

    def __init__(self) -> None:
        self._curves: Curves = {}
        self._ended_epoch: int | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the validation metrics of this epoch."""
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._remember(trainer, "val/", trainer.current_epoch + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note whether the module is about to log the training metrics of this epoch."""
        if is_told(trainer, trainer.current_epoch):
            self._ended_epoch = trainer.current_epoch + 1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the training metrics of the epoch before."""
        self._remember_training(trainer)
        self._ended_epoch = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the training metrics of the last epoch."""
        self._remember_training(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the curves into the checkpoint."""
        # Not in state_dict, which is taken before the metrics of the present epoch can be asked.
        self._remember_training(trainer)
        checkpoint[CHECKPOINT_KEY] = self._curves

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the curves back, unless longer ones are here: the best checkpoint is an old one."""
        curves = checkpoint.get(CHECKPOINT_KEY, {})
        if last_epoch(curves) > last_epoch(self._curves):
            self._curves = curves

    def known_curves(self, dirpath: Path) -> Curves:
        """Return the longest curves known: a run that is only evaluated has them in a file.

        Args:
            dirpath: Folder that may hold `metrics.csv`.
        """
        path = dirpath / "metrics.csv"
        written = read_metrics_csv(path) if path.is_file() else {}
        return written if last_epoch(written) > last_epoch(self._curves) else self._curves

    def _remember_training(self, trainer: Trainer) -> None:
        if self._ended_epoch is not None:
            self._remember(trainer, "train/", self._ended_epoch)

    def _remember(self, trainer: Trainer, prefix: str, epoch: int) -> None:
        for name, value in trainer.callback_metrics.items():
            if name.startswith(prefix):
                add_point(self._curves, name, epoch, float(value))
