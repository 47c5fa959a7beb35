"""The metrics of a run by epoch, as curves: kept while training, or read from metrics.csv."""

from __future__ import annotations

import csv
import math
from pathlib import Path

Curves = dict[str, tuple[list[int], list[float]]]


def add_point(curves: Curves, name: str, epoch: int, value: float) -> None:
    """Append a value, or replace the last one where the epoch is seen again after a resume.

    Args:
        curves: The curves to add to.
        name: Name of the metric.
        epoch: Number of epochs trained.
        value: The metric's value.
    """
    epochs, values = curves.setdefault(name, ([], []))
    while epochs and epochs[-1] >= epoch:
        epochs.pop()
        values.pop()
    epochs.append(epoch)
    values.append(value)


def last_epoch(curves: Curves) -> int:
    """Return the largest number of epochs trained that a curve has, 0 without curves."""
    return max((epochs[-1] for epochs, _ in curves.values() if epochs), default=0)


def read_metrics_csv(path: Path) -> Curves:
    """Read the curves out of a file that Lightning's CSVLogger wrote.

    Args:
        path: The file, with a column `epoch` that counts from 0.

    Returns:
        For each metric the epochs trained, counted from 1, and the values; of several values in
        one epoch the last. Empty cells and values that are not finite are skipped.

    Raises:
        ValueError: If the file has no column `epoch`.
    """
    curves: Curves = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if "epoch" not in (reader.fieldnames or []):
            raise ValueError(f"{path} is no metrics.csv: it has no column named epoch")
        for row in reader:
            if not row["epoch"]:
                continue
            epoch = int(float(row["epoch"])) + 1
            for name, cell in row.items():
                if name in ("epoch", "step") or not cell or not math.isfinite(float(cell)):
                    continue
                add_point(curves, name, epoch, float(cell))
    return curves
