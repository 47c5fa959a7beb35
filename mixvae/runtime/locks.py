"""Locks on files: another process that wants one is told so, and none outlives its process."""

from __future__ import annotations

from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None
"""Whether this system has such locks."""


def lock(file: IO[str]) -> None:
    """Lock a file until it is closed; without effect where there are no locks.

    Args:
        file: An open file.

    Raises:
        BlockingIOError: If another process has locked it.
        OSError: If its file system knows no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
