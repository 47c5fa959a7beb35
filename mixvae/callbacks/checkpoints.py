"""Keeps two checkpoints: the best by a metric, and the last from which training goes on exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from mixvae.callbacks.lightning_parts import is_debugging
from mixvae.callbacks.random_state import capture_random_state, restore_random_state
from mixvae.callbacks.reporting import UnknownMetricError, unknown_metric


class Checkpoints(Checkpoint):
    """Write `best.ckpt` after a validation that is the best so far, `last.ckpt` between epochs.

    `last.ckpt` is the state in which an epoch begins, random generators included, and is written
    before the first epoch, before later ones and at the end. A run that was stopped anywhere
    repeats what it did since, and since the order of the samples is a function of
    seed and epoch alone, it arrives at the weights of a run that was never stopped. Lightning's
    own ModelCheckpoint saves inside an epoch, after which hooks and logs run twice or not at all.

    The one at the end says so: a run that early stopping ended and that was then stopped in its
    test is tested and not trained on, unless it is given another `trainer.max_epochs`.

    Args:
        dirpath: Folder of the two files.
        monitor: Logged metric that says how good the weights are.
        mode: Whether less of it is better (`min`) or more (`max`).
        every_n_epochs: Epochs from one `last.ckpt` to the next; more where an epoch takes less
            time than a file. A stopped run then repeats up to so many.

    Attributes:
        saved_epochs: After how many epochs `last.ckpt` is the state; None before there is one.

    Raises:
        ValueError: If there is no such mode, or the number of epochs is below 1.
    """

    def __init__(
        self,
        dirpath: str,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        every_n_epochs: int = 1,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"callbacks.checkpoints.mode must be min or max, got {mode!r}")
        if every_n_epochs < 1:
            raise ValueError(
                f"callbacks.checkpoints.every_n_epochs must be 1 or more, got {every_n_epochs}"
            )
        self.every_n_epochs = every_n_epochs
        self.dirpath = Path(dirpath)
        self.monitor = monitor
        self.mode = mode
        self.best_score: float | None = None
        self.best_epoch: int | None = None
        self.saved_epochs: int | None = None
        # The trainer's max_epochs when training ended; None before.
        self._ended_of: int | None = None
        self._had_ended_of: int | None = None
        self._resumed_from: list[dict[str, Any]] | None = None
        self._for_test_only = False

    @property
    def best_path(self) -> Path:
        """File of the best weights."""
        return self.dirpath / "best.ckpt"

    @property
    def last_path(self) -> Path:
        """File of the state between two epochs."""
        return self.dirpath / "last.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far, and each process's random state."""
        return {
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "ended_of": self._ended_of,
            "random_states": _gather(capture_random_state()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the score, and keep the random states for the moment when training starts."""
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]
        self._had_ended_of = ended_of(state_dict)
        self._resumed_from = state_dict["random_states"]

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say in the checkpoint that the epoch about to begin has not begun.

        Lightning counts an epoch as `ready` before its start hooks run. Taken back here, a resumed
        run sees whole epochs only and begins the next one as any other.
        """
        if self._for_test_only:
            checkpoint["optimizer_states"] = []
            return
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for counts in progress.values():
            counts["ready"] = counts["completed"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have a resumed epoch begin like any other: with a fresh iterator over the data.

        There is none where training had come to its end.
        """
        if self._resumed_from is not None:
            if self._had_ended_of == trainer.max_epochs:
                trainer.should_stop = True
            trainer.fit_loop._resuming_from_checkpoint = False
            trainer.fit_loop.epoch_loop.restarting = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state in which the epoch begins, or take up the saved one."""
        if self._resumed_from is not None:
            self.saved_epochs = trainer.current_epoch
            states, self._resumed_from = self._resumed_from, None
            if trainer.world_size == len(states):
                restore_random_state(states[trainer.global_rank])
            return
        if trainer.current_epoch % self.every_n_epochs == 0:
            self._save_last(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final state, unless a resumed run found nothing left to train."""
        if self._resumed_from is None:
            self._ended_of = trainer.max_epochs
            self._save_last(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the weights if they are the best so far."""
        if (
            trainer.sanity_checking
            or is_debugging(trainer)
            or trainer.state.fn != TrainerFn.FITTING
            or not self._is_better(self._score(trainer))
        ):
            return
        self.best_score, self.best_epoch = self._score(trainer), trainer.current_epoch
        self.save_for_test(trainer, self.best_path)

    def save_for_test(self, trainer: Trainer, path: Path) -> None:
        """Save the present weights as the best ones are saved: to be tested, not trained further.

        Args:
            trainer: The trainer.
            path: File to write or overwrite.
        """
        self._for_test_only = True
        try:
            trainer.save_checkpoint(path)
        finally:
            self._for_test_only = False

    def forget_best(self) -> None:
        """Take the next validation for the best so far: the metric has changed its meaning."""
        self.best_score, self.best_epoch = None, None

    def _save_last(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_debugging(trainer):
            return
        for name, parameter in pl_module.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise FloatingPointError(
                    f"the weights {name} became NaN or infinite in epoch"
                    f" {trainer.current_epoch}, though the loss was finite; the last good"
                    f" checkpoint stays {self.last_path}; a smaller learning rate may help"
                )
        trainer.save_checkpoint(self.last_path)
        self.saved_epochs = trainer.current_epoch

    def _score(self, trainer: Trainer) -> float:
        metrics = trainer.callback_metrics
        if self.monitor not in metrics:
            setting = "callbacks.checkpoints.monitor"
            raise UnknownMetricError(unknown_metric(self.monitor, list(metrics), setting))
        return float(metrics[self.monitor])

    def _is_better(self, score: float) -> bool:
        if not math.isfinite(score):
            return False
        if self.best_score is None:
            return True
        return score < self.best_score if self.mode == "min" else score > self.best_score


def ended_of(state_dict: Mapping[str, Any]) -> int | None:
    """Return the trainer's max_epochs when training ended; None where it is to go on.

    Args:
        state_dict: The callback's state in a checkpoint; empty where there was no such callback.
    """
    value = state_dict.get("ended_of")
    return None if value is None else int(value)


def _gather(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the states of all processes, by rank; every process takes part."""
    if not torch.distributed.is_initialized():
        return [state]
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, state)
    return states
