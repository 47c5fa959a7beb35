"""Writing files so that a reader, or a stop half-way, never meets half of one."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None
"""Whether this system has such locks."""

KEYS = ("epoch", "step")
"""Columns of metrics.csv that name a row; all others are metrics."""

# The name of a temporary file, which stays behind where its process is killed.
LEFTOVER = re.compile(r"\..+\.\d+(\.\w+)?")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, with the same suffix, that then replaces `path`.

    An exception leaves `path` as it was.

    Args:
        path: The file to write or overwrite, or a folder to make; its parent is made if missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # see LEFTOVER
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written; no other process may be writing there."""
    for path in sorted(folder.rglob(".*")):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON as a whole or not at all; NaN and infinities become null."""
    text = json.dumps(_strict(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one if the file is missing or cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_text(path: Path, text: str) -> None:
    """Write a text as a whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file as a whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file, a text for each column; no rows if the file is missing."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{str(k): v or "" for k, v in row.items()} for row in csv.DictReader(file)]


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Read the rows of a metrics.csv, skipping a line that a kill left half-written.

    Returns:
        Each row's values by column: `epoch` and `step` always, others where they are not empty. No
        rows if the file is missing.

    Raises:
        ValueError: If the file has no column `epoch` or `step`.
    """
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    if missing := set(KEYS).difference(rows.fieldnames or KEYS):
        raise ValueError(f"{path} is not a metrics.csv: no column {min(missing)}")
    return [{name: cell for name, cell in row.items() if cell or name in KEYS} for row in rows]


def last_values(rows: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """Return the last value of each metric in the rows of a metrics.csv."""
    found = {name: cell for row in rows for name, cell in row.items() if name not in KEYS}
    return {name: float(cell) for name, cell in found.items()}


def lock(file: IO[str]) -> None:
    """Lock a file until it is closed; without effect where there are no locks.

    Raises:
        BlockingIOError: If another process has locked it.
        OSError: If its file system knows no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
