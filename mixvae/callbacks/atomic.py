"""Writing files so that a reader, or a stop half-way, never meets half of one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The name of a temporary file, which stays behind where its process is killed.
LEFTOVER = re.compile(r"\..+\.\d+(\.\w+)?")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in the place of `path` once all went well.

    Args:
        path: The file to write or overwrite; its folder is made if missing.

    Yields:
        A path in the same folder, with the same suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # see LEFTOVER
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written; no other process may be writing there.

    Args:
        folder: A run's folder.
    """
    for path in sorted(folder.rglob(".*")):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
