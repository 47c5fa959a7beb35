"""Events of samples of different modalities, and which of the samples are missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

MISSING = -1
CHUNK_BYTES = 2**26
LARGEST = float(np.finfo(np.float32).max)
Groups = Mapping[int, np.ndarray]
"""Rows of one modality by class: class -> rows, shape (n,), int64."""


class Events(NamedTuple):
    """A table of events."""

    rows: np.ndarray  # of each modality's sample, shape (N, M), int64; -1 where missing
    label: np.ndarray  # class of each event, shape (N,), int64


def pair_by_class(groups: Sequence[Groups], generator: np.random.Generator) -> Events:
    """Pair samples of all modalities at random within each class, class by class.

    A class gives as many events as its largest modality has rows, so that each row takes part. A
    modality with fewer goes through all of its rows again in a new order.

    Args:
        groups: The rows of each modality, M in number, with the same classes, none empty.
    """
    parts = []
    for label in sorted(groups[0]):
        most = max(len(group[label]) for group in groups)
        columns = []
        for group in groups:
            rounds = -(-most // len(group[label]))
            orders = [generator.permutation(group[label]) for _ in range(rounds)]
            columns.append(np.concatenate(orders)[:most])
        parts.append(Events(np.stack(columns, axis=1), np.full(most, label)))
    return _joined(parts)


def pair_in_order(groups: Sequence[Groups]) -> Events:
    """Pair the first rows of each class, as many as the smallest modality has, class by class."""
    parts = []
    for label in sorted(groups[0]):
        least = min(len(group[label]) for group in groups)
        columns = [group[label][:least] for group in groups]
        parts.append(Events(np.stack(columns, axis=1), np.full(least, label)))
    return _joined(parts)


def drop_at_random(rows: np.ndarray, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """Hide samples, each with the same probability, but at least one of each event stays.

    Args:
        rows: A table of events, shape (N, M).
        fraction: Probability that a sample is hidden, in [0, 1).

    Returns:
        The table with -1 for a missing sample. An event that would lose all of its samples keeps
        one of those it has, drawn at random.
    """
    present = rows != MISSING
    order = generator.random(rows.shape)
    kept = present & (order >= fraction)
    # the largest draw among those present stays in any case
    last = np.where(present, order, -1.0).argmax(axis=1)
    kept[np.arange(len(rows)), last] = True
    return np.where(kept & present, rows, MISSING)


class Presence(NamedTuple):
    """What a modality's rows hold."""

    present: np.ndarray  # whether a row holds any value, shape (N,), bool
    has_gaps: bool  # whether a row that is present misses single values


def find_missing(name: str, array: np.ndarray, *, are_tokens: bool = False) -> Presence:
    """Find the rows of NaN alone, which are missing, and single values of NaN.

    Args:
        array: Samples, shape (N, *shape). An infinite value is refused.
        are_tokens: Whether they are token numbers: those below 0 are padding, and a row of padding
            alone is missing.
    """
    if are_tokens:
        return Presence(np.asarray((array.reshape(len(array), -1) >= 0).any(axis=1)), False)
    present = np.ones(len(array), dtype=bool)
    if array.dtype.kind != "f":
        return Presence(present, False)
    has_gaps = False
    for rows in row_chunks(array):
        part = np.asarray(array[rows]).reshape(rows.stop - rows.start, -1)
        missing = np.isnan(part)
        infinite = np.abs(part) > min(LARGEST, float(np.finfo(part.dtype).max))
        if not (missing.any() or infinite.any()):
            continue
        if infinite.any():
            row = int(infinite.any(axis=1).argmax())
            raise ValueError(
                f"{name} holds {part[row][infinite[row]][0]} in row {rows.start + row}, counted"
                f" from 0, and in {int(infinite.any(axis=1).sum())} rows altogether; values must be"
                f" finite, up to {LARGEST:.1e}, or NaN where they are missing"
            )
        present[rows] = ~missing.all(axis=1)
        has_gaps |= bool(missing[present[rows]].any())
    return Presence(present, has_gaps)


def row_chunks(array: np.ndarray, num_rows: int | None = None) -> Iterator[slice]:
    """Slices of rows of about 64 MiB as float64, so that mapped arrays are read in parts.

    Args:
        num_rows: Number of rows to slice; None: those of the array.
    """
    total = len(array) if num_rows is None else num_rows
    size = max(1, CHUNK_BYTES // max(1, 8 * int(np.prod(array.shape[1:]))))
    for begin in range(0, total, size):
        yield slice(begin, min(begin + size, total))


def check_no_empty_event(present: np.ndarray) -> None:
    """Refuse an event without a modality: `present` has shape (N, M), bool."""
    empty = np.flatnonzero(~present.any(axis=1))
    if len(empty):
        raise ValueError(
            f"row {empty[0]}, counted from 0, is missing in every modality, as are"
            f" {len(empty) - 1} others; remove it from all files"
        )


def split_by_class(
    groups: Groups, fractions: Sequence[float], generator: np.random.Generator
) -> tuple[dict[int, np.ndarray], ...]:
    """Split the rows of each class at random into parts that share no row.

    Args:
        groups: Rows by class, each class with at least `len(fractions) + 1` rows.
        fractions: Share of each part but the last one, which is the rest. Every part gets at
            least one row of each class.

    Returns:
        `len(fractions) + 1` parts, each rows by class, sorted.
    """
    parts: tuple[dict[int, np.ndarray], ...] = tuple({} for _ in (*fractions, None))
    for label in sorted(groups):
        rows = generator.permutation(groups[label])
        left = len(rows) - len(fractions)
        assert left >= 1, f"{len(rows)} rows of class {label} for {len(parts)} parts"
        begin = 0
        for part, fraction in zip(parts, fractions, strict=False):
            size = min(max(1, round(fraction * len(rows))), left)
            left -= size - 1
            part[label] = np.sort(rows[begin : begin + size])
            begin += size
        parts[-1][label] = np.sort(rows[begin:])
    return parts


def _joined(parts: Sequence[Events]) -> Events:
    return Events(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.label for part in parts]),
    )
