"""When training metrics are logged: in validation epochs and in the last one."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The part of a trainer that decides."""

    @property
    def max_epochs(self) -> int | None:
        """Number of epochs; None or -1 without a limit."""

    @property
    def check_val_every_n_epoch(self) -> int | None:
        """Epochs from one validation to the next."""


def is_logged(trainer: Clock, epoch: int) -> bool:
    """Whether the training metrics of an epoch, from 0, are logged, printed and drawn.

    Logging the mean of five terms takes as long as an epoch of small networks on a GPU, and reading
    it makes the host wait. Where `trainer.check_val_every_n_epoch` is above 1, training metrics are
    logged as often as validation metrics, and in the last epoch.
    """
    every = trainer.check_val_every_n_epoch or 1
    return (epoch + 1) % every == 0 or epoch + 1 == trainer.max_epochs
