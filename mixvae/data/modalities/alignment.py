"""Puts the rows of several files into one order, by the ids of the rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from mixvae.data.files.arrays import Rows, read_rows
from mixvae.data.files.table_lines import is_missing
from mixvae.messages import inform, warn


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
    aligned = Aligned({name: part.values for name, part in rows.items()})
    if len(with_ids) < len(rows):
        if with_ids:
            without = next(name for name in rows if name not in with_ids)
            for name, ids in with_ids.items():
                tell_unused(files[name], ids, files[without])
        return aligned
    for name, ids in with_ids.items():
        check_unique(files[name], ids)
    first = next(iter(with_ids.values()))
    aligned.ids = first
    if all(ids == first for ids in with_ids.values()):
        return aligned
    union = tuple(dict.fromkeys(one for ids in with_ids.values() for one in ids))
    common = set(first).intersection(*map(set, with_ids.values()))
    begins = ", ".join(f"{name}: {ids[0]!r}, ..." for name, ids in with_ids.items())
    if len(union) == sum(map(len, with_ids.values())):
        raise ValueError(
            f"the ids of the files have none in common ({begins}); name the column of ids with"
            " data.id_column, or take rows in order with data.id_column=''"
        )
    for name, ids in with_ids.items():
        aligned[name] = _placed(aligned[name], place_of(ids, union))
    aligned.ids = union
    told = f"aligned by the ids of rows: {len(union)} events, of which {len(common)} are in every"
    if 2 * len(common) < min(map(len, with_ids.values())):
        warn(f"{told} file. If that is too few, ids may be written in different ways ({begins})")
    else:
        inform(f"{told} file")
    return aligned


def tell_unused(file: str, ids: tuple[str, ...], other: str) -> None:
    """Say that ids are not used, as another file has none; warn if they are in no order."""
    told = f"the ids in {file} are not used, since {other} has none: row i of each is event i"
    parts = [re.fullmatch(r"(\D*?)(-?\d+)(\D*)", one) for one in ids]
    numbers = [int(part[2]) for part in parts if part]
    are_alike = len({part and part.group(1, 3) for part in parts}) == 1  # 7, s7, s7.txt
    if are_alike and numbers != sorted(numbers):
        warn(f"{told}, though the ids are not in order; sort {file} as {other}")
    else:
        inform(told)


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


def check_unique(file: str, ids: tuple[str, ...]) -> None:
    """Refuse ids that are missing or occur twice."""
    nameless = [row for row, one in enumerate(ids) if is_missing(one)]
    if nameless:
        raise ValueError(
            f"{file} has no id in row {nameless[0]}, counted from 0, and {len(nameless)} such rows"
            " altogether; name them or leave them out"
        )
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    twice = next(one for one in ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
    raise ValueError(f"{file} has the id {twice!r} twice; ids must name one row each")
