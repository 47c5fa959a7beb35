"""A scheduler tells that the time is nearly up: the run ends as at SIGTERM, to be resumed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# As `sbatch --signal=USR1@120` sends it; what else handles it, such as submitit, is left alone.
ANNOUNCEMENT = getattr(signal, "SIGUSR1", None)


@contextmanager
def heeding_time_limits() -> Iterator[None]:
    """Take SIGUSR1 for SIGTERM, where it would end the process at once."""
    main = threading.current_thread() is threading.main_thread()
    if ANNOUNCEMENT is None or not main or signal.getsignal(ANNOUNCEMENT) != signal.SIG_DFL:
        yield
        return
    signal.signal(ANNOUNCEMENT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(ANNOUNCEMENT, signal.SIG_DFL)
