"""Writes metrics.csv, the one memory of what a run logged; a stopped run continues it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from mixvae.files import KEYS, read_metrics, replacing


class CsvLogger(Logger):
    """Write metrics as rows of `epoch, step, ...`; what is logged at one step shares a row.

    Columns come as metrics do. Lightning's own CSVLogger overwrites its file on a resume and writes
    into version folders. Reading a number back gives the same float.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] = []
        self._rows: list[dict[str, str]] = []
        self._read = False
        # Start of the last row in the file, in bytes.
        self._tail = 0

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """No versions: a run folder holds one run."""
        return ""

    @property
    def save_dir(self) -> str:
        """Folder of the file."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Write nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write metrics into the row of their epoch and step."""
        self._read_once()
        row = {"epoch": "", "step": "" if step is None else str(step)}
        row |= {name: _text(value) for name, value in metrics.items()}
        shared = bool(self._rows) and all(self._rows[-1][key] == row[key] for key in KEYS)
        if shared:
            self._rows[-1].update(row)
        else:
            self._rows.append(row)
        new = [name for name in row if name not in self._columns]
        if new:
            self._columns += new
            self._rewrite()
        else:
            self._write_tail(append=not shared)

    @rank_zero_only
    def drop_from(self, epoch: int, step: int) -> None:
        """Drop the rows of this epoch and later ones: a resumed run writes them again.

        Args:
            step: The step that it begins with, for rows without an epoch, such as those of
                Lightning's LearningRateMonitor.
        """

        def before(row: Mapping[str, str]) -> bool:
            if row["epoch"]:
                return int(row["epoch"]) < epoch
            return not row["step"] or int(row["step"]) < step

        self._read_once()
        self._rows = [row for row in self._rows if before(row)]
        used = {name for row in self._rows for name in row}
        self._columns = [name for name in self._columns if name in used]
        if self._rows:
            self._rewrite()
        else:
            self.path.unlink(missing_ok=True)

    def _read_once(self) -> None:
        if self._read:
            return
        self._read = True
        if self.path.is_file():
            self._rows = read_metrics(self.path)
            with self.path.open(encoding="utf-8", newline="") as file:
                self._columns = next(csv.reader(file), [])
            self._tail = self.path.stat().st_size

    def _rewrite(self) -> None:
        head = _lines(
            [dict(zip(self._columns, self._columns, strict=True)), *self._rows[:-1]], self._columns
        )
        self._tail = len(head.encode())
        with replacing(self.path) as temporary:
            temporary.write_bytes((head + _lines(self._rows[-1:], self._columns)).encode())

    def _write_tail(self, *, append: bool) -> None:
        if append:
            self._tail = self.path.stat().st_size
        with self.path.open("r+b") as file:
            file.seek(self._tail)
            file.truncate()
            file.write(_lines(self._rows[-1:], self._columns).encode())


def _lines(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([row.get(name, "") for name in columns] for row in rows)
    return text.getvalue()


def _text(value: float) -> str:
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
