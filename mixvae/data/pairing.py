"""Events of samples of different modalities, and which of the samples are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

MISSING = -1
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


def present_rows(name: str, array: np.ndarray) -> np.ndarray:
    """Whether each row of a modality is present, shape (N,), and not NaN altogether.

    Args:
        array: Samples, shape (N, *shape); a row of NaN is missing, one that holds NaN beside
            numbers, or an infinite value, is refused.
    """
    flat = array.reshape(len(array), -1)
    finite = np.isfinite(flat)
    whole, missing = finite.all(axis=1), np.isnan(flat).all(axis=1)
    wrong = np.flatnonzero(~whole & ~missing)
    if len(wrong):
        value = flat[wrong[0]][~finite[wrong[0]]][0]
        raise ValueError(
            f"{name} holds {value} in row {wrong[0]}, counted from 0, and in {len(wrong)} rows"
            f" altogether ({(~finite[wrong[0]]).sum()} of {flat.shape[1]} values there); a row"
            " must be finite, or NaN altogether where the modality is missing"
        )
    return whole


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
