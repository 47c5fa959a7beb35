"""Tables as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mixvae.files import replacing

Row = Sequence[Any]


def write_table(path: Path, header: Row, rows: Iterable[Row]) -> None:
    """Write a CSV file as a whole or not at all.

    Args:
        path: File to write or overwrite.
        header: Names of the columns.
        rows: The lines.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
