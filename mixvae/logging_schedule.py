"""How often a run tells of itself: in the epochs that it validates."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """What is asked of a trainer."""

    @property
    def current_epoch(self) -> int:
        """Number of the present epoch, from 0."""

    @property
    def max_epochs(self) -> int | None:
        """Epochs that training ends after, if it does."""

    @property
    def check_val_every_n_epoch(self) -> int | None:
        """Epochs from one validation to the next."""


def is_told(trainer: Clock, epoch: int) -> bool:
    """Whether an epoch's training metrics are logged, printed and drawn.

    To log the mean of five terms takes as long as an epoch of small networks on a GPU, and to read
    them makes the host wait for it. So where `trainer.check_val_every_n_epoch` is above 1, training
    is told of as often as validation, and in the last epoch.

    Args:
        trainer: The trainer, or what is like it.
        epoch: Number of the epoch, from 0.
    """
    every = trainer.check_val_every_n_epoch or 1
    return (epoch + 1) % every == 0 or epoch + 1 == trainer.max_epochs
