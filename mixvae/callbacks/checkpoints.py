"""Keeps two checkpoints: the best by a metric, and the last, from which a run resumes exactly."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from mixvae.callbacks.lightning_parts import callbacks_of, is_debugging
from mixvae.callbacks.reporting import logged_value
from mixvae.callbacks.settings import check_least
from mixvae.messages import inform
from mixvae.processes import gather_objects

# A model that logs a bound as its loss logs what it optimises, at its last weights, beside it.
MONITORED = ("val/objective", "val/loss")


class Checkpoints(Checkpoint):
    """Write `best.ckpt` after a validation that is the best so far, `last.ckpt` between epochs.

    `last.ckpt` is the state in which an epoch begins, random generators included. It is written
    before the first epoch, before later ones and at the end. A stopped run repeats the steps after
    it; since the order of the samples depends on seed and epoch alone, it ends with the weights of
    an undisturbed run. Lightning's own ModelCheckpoint saves inside an epoch, after which hooks and
    logs run twice or not at all.

    The last one records that training ended: a run that early stopping ended and that was then
    stopped in its test is tested, and trained further only with another `trainer.max_epochs`.

    Args:
        monitor: Logged metric of which the least (`mode` `min`) or most (`max`) is the best. Of
            several, the first that the model logs; if it logs none, the last epoch is the best.
        every_n_epochs: Epochs from one `last.ckpt` to the next, which a stopped run may repeat;
            raise it where an epoch takes less time than a file.

    Attributes:
        saved_epochs: Epochs trained in `last.ckpt`; None before the first.
    """

    def __init__(
        self,
        dirpath: str,
        monitor: str | Sequence[str] = MONITORED,
        mode: Literal["min", "max"] = "min",
        every_n_epochs: int = 1,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"callbacks.checkpoints.mode must be min or max, got {mode!r}")
        check_least("checkpoints", 1, every_n_epochs=every_n_epochs)
        self.every_n_epochs = every_n_epochs
        self.dirpath = Path(dirpath)
        self.best_path = self.dirpath / "best.ckpt"
        self.last_path = self.dirpath / "last.ckpt"
        self.monitor = (monitor,) if isinstance(monitor, str) else tuple(monitor)
        self.mode = mode
        self.best_score: float | None = None
        self.best_epoch: int | None = None
        self.saved_epochs: int | None = None
        # The trainer's max_epochs when training ended; None before.
        self._ended_of: int | None = None
        self._had_ended_of: int | None = None
        self._resumed_from: list[dict[str, Any]] | None = None
        self._for_test_only = False

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far, and each process's random state."""
        return {
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "ended_of": self._ended_of,
            "random_states": gather_objects(capture_random_state()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the score, and keep the random states until training starts."""
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]
        self._had_ended_of = ended_of(state_dict)
        self._resumed_from = state_dict["random_states"]

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Mark the next epoch as not begun.

        Lightning counts an epoch as `ready` before its start hooks run. With the count reset, a
        resumed run sees whole epochs only and begins the next one like any other.
        """
        if self._for_test_only:
            checkpoint["optimizer_states"] = []
            return
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for counts in progress.values():
            counts["ready"] = counts["completed"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a resumed epoch with a fresh iterator over the data, unless training had ended."""
        if self._resumed_from is not None:
            if self._had_ended_of == trainer.max_epochs:
                trainer.should_stop = True
            trainer.fit_loop._resuming_from_checkpoint = False
            trainer.fit_loop.epoch_loop.restarting = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state in which the epoch begins, or restore the saved one."""
        if self._resumed_from is not None:
            self.saved_epochs = trainer.current_epoch
            states, self._resumed_from = self._resumed_from, None
            if trainer.world_size == len(states):
                restore_random_state(states[trainer.global_rank])
            return
        if trainer.current_epoch % self.every_n_epochs == 0:
            self._save_last(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final state, unless a resumed run had no epoch left to train."""
        if self._resumed_from is None:
            self._ended_of = trainer.max_epochs
            self._save_last(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the weights if they are the best so far."""
        fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if not fitting or is_debugging(trainer):
            return
        score = self._score(trainer)
        if self._is_better(score):
            self.best_score, self.best_epoch = score, trainer.current_epoch
            self.save_for_test(trainer, self.best_path)

    def save_for_test(self, trainer: Trainer, path: Path) -> None:
        """Save weights to test and not to train further: without the optimiser's state."""
        self._for_test_only = True
        try:
            trainer.save_checkpoint(path)
        finally:
            self._for_test_only = False

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
        """The monitored value; where none of several is logged, one that is better every time."""
        logged = [name for name in self.monitor if name in trainer.callback_metrics]
        if logged or len(self.monitor) == 1:
            name = logged[0] if logged else self.monitor[0]
            return logged_value(trainer, name, "callbacks.checkpoints.monitor")
        if self.best_epoch is None:
            inform(
                f"the model logs neither {' nor '.join(self.monitor)}: best.ckpt holds the last"
                " validated epoch; callbacks.checkpoints.monitor names another metric"
            )
        return trainer.current_epoch * (-1.0 if self.mode == "min" else 1.0)

    def _is_better(self, score: float) -> bool:
        if not math.isfinite(score) or self.best_score is None:
            return math.isfinite(score)
        return score < self.best_score if self.mode == "min" else score > self.best_score


def checkpoints_of(trainer: Trainer) -> list[Checkpoints]:
    """Return the trainer's callbacks that keep checkpoints."""
    return [callback for callback in callbacks_of(trainer) if isinstance(callback, Checkpoints)]


def forget_best(trainer: Trainer) -> None:
    """Count the next validation as the best so far.

    Losses over different numbers of categories cannot be compared.
    """
    for callback in checkpoints_of(trainer):
        callback.best_score, callback.best_epoch = None, None


def ended_of(state_dict: Mapping[str, Any]) -> int | None:
    """Return the trainer's max_epochs when training ended; None if it had not.

    A checkpoint without the callback has an empty state.
    """
    value = state_dict.get("ended_of")
    return None if value is None else int(value)


def capture_random_state() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and PyTorch's generators, CUDA's included.

    They are numbers, tuples and tensors only, for `torch.load(weights_only=True)`.
    """
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple), "by legacy=True"
    _, keys, position, has_gauss, gauss = state
    return {
        "python": random.getstate(),
        "numpy": (torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Restore the generators to what `capture_random_state` returned.

    CUDA's states are skipped if the number of devices differs: the draws could not be the same.
    """
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
