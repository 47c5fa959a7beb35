"""Puts the rows of several files into one order, by the ids of the rows."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from mixvae.data.array_files import Rows, read_rows

_logger = logging.getLogger("mixvae")


class Aligned(dict[str, np.ndarray]):
    """Arrays by name whose row i is event i; `ids` names the events, or is None."""

    ids: tuple[str, ...] | None = None


def read_aligned(files: Mapping[str, str], id_column: str | None = None) -> Aligned:
    """Read the file of each modality; where all have ids, row i of each is the same event.

    Events are those of any file, in the order of the first ones; a modality that lacks an event
    gets a row of NaN, or an empty text. Without ids in every file, the rows are taken in order.
    """
    return align({name: read_rows(file, id_column) for name, file in files.items()}, files)


def align(rows: Mapping[str, Rows], files: Mapping[str, str]) -> Aligned:
    """Align arrays that were read, see `read_aligned`."""
    with_ids = {name: part.ids for name, part in rows.items() if part.ids is not None}
    for name, ids in with_ids.items():
        twice, count = Counter(ids).most_common(1)[0]
        if count > 1:
            raise ValueError(
                f"{files[name]} has the id {twice!r} twice; ids must name one row each"
            )
    aligned = Aligned({name: part.values for name, part in rows.items()})
    if len(with_ids) < len(rows):
        if with_ids:
            without = next(name for name in rows if name not in with_ids)
            _logger.info(
                "the ids in %s are not used, since %s has none: row i of each file is event i",
                files[next(iter(with_ids))],
                files[without],
            )
        return aligned
    first = next(iter(with_ids.values()))
    aligned.ids = first
    if all(ids == first for ids in with_ids.values()):
        return aligned
    union = tuple(dict.fromkeys(one for ids in with_ids.values() for one in ids))
    common = set(first).intersection(*map(set, with_ids.values()))
    if len(union) == sum(map(len, with_ids.values())):
        raise ValueError(
            "the ids of the files have none in common ("
            + ", ".join(f"{name}: {ids[0]!r}, ..." for name, ids in with_ids.items())
            + "); name the column of ids with data.id_column, or take rows in order with"
            " data.id_column=''"
        )
    for name, ids in with_ids.items():
        aligned[name] = _placed(aligned[name], place_of(ids, union))
    aligned.ids = union
    _logger.info(
        "aligned by the ids of rows: %d events, of which %d are in every file",
        len(union),
        len(common),
    )
    return aligned


def place_of(ids: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Row of each wanted id, shape (N,), int64; -1 where it is missing."""
    row = {one: number for number, one in enumerate(ids)}
    return np.array([row.get(one, -1) for one in wanted], dtype=np.int64)


def _placed(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    taken = values[np.maximum(place, 0)]
    if values.dtype.kind == "U":
        taken[place < 0] = ""
        return taken
    if (place < 0).any():
        if taken.dtype.kind != "f":
            taken = taken.astype(np.float64 if taken.dtype.itemsize > 2 else np.float32)
        taken[place < 0] = np.nan
    return taken
