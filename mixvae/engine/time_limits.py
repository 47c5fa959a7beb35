"""Time that is up: a scheduler's, which ends a run as SIGTERM does, and `trainer.max_time`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mixvae.callbacks.lightning_parts import callbacks_of

# As `sbatch --signal=USR1@120` sends it; what else handles it, such as submitit, is left alone.
ANNOUNCEMENT = getattr(signal, "SIGUSR1", None)


@contextmanager
def heeding_time_limits() -> Iterator[None]:
    """Take SIGUSR1 for SIGTERM, where it would end the process at once."""
    with _handling(ANNOUNCEMENT, lambda *_: os.kill(os.getpid(), signal.SIGTERM)):
        yield


@contextmanager
def stopping_at_sigterm() -> Iterator[None]:
    """Stop at SIGTERM as at Ctrl-C; Lightning would go on with a test to its end."""

    def stop(*_: object) -> None:
        raise SIGTERMException

    with _handling(signal.SIGTERM, stop):
        yield


@contextmanager
def _handling(number: signal.Signals | None, handler: Callable[..., None]) -> Iterator[None]:
    """Handle a signal that nothing else handles, in the main thread."""
    main = threading.current_thread() is threading.main_thread()
    if number is None or not main or signal.getsignal(number) != signal.SIG_DFL:
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


def time_is_over(trainer: Trainer, checkpoint: dict[str, Any] | None = None) -> bool:
    """Whether a run has trained for all of its `trainer.max_time`."""
    for timer in (item for item in callbacks_of(trainer) if isinstance(item, Timer)):
        if checkpoint is not None:
            timer.load_state_dict(checkpoint["callbacks"].get(timer.state_key, {}))
        left = timer.time_remaining()
        if left is not None and left <= 0:
            return True
    return False
