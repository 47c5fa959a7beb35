"""Several modalities given from Python: a dict of arrays or AnnData objects, or a MuData object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.files.given import as_array, as_labels, is_anndata
from mixvae.data.files.labels import as_event_labels, check_labels
from mixvae.data.modalities.alignment import place_of

NAME = re.compile(r"[A-Za-z0-9._+-]+")
RESERVED = ("joint", "events")


def modalities_of(data: Any, labels: Any) -> tuple[dict[str, NDArray[Any]], NDArray[Any] | None]:
    """Return the array of each modality by name, and the labels.

    AnnData objects, of a dict or of a MuData object, are joined by the names of their cells; a cell
    that a modality lacks has a row of NaN there.

    Args:
        data: Arrays of shape (N, *shape), whose row i belongs to event i.
        labels: One for each event, or the name of a column of obs; None for none.
    """
    is_mudata = hasattr(data, "mod") and hasattr(data, "obs_names")
    parts = data.mod if is_mudata else data
    if not isinstance(parts, Mapping) or not parts:
        raise ValueError(
            "several modalities are a dict of arrays by name, such as {'a': a, 'b': b}, or a MuData"
            f" object, got {type(data).__name__}"
        )
    named = {str(name): part for name, part in parts.items()}
    check_names(named)
    tables = [part for part in named.values() if is_anndata(part)]
    if not tables:
        check_same_index({**named, "labels": labels})
        arrays = {name: as_array(part, f"the samples of {name}") for name, part in named.items()}
        return arrays, _array_labels(labels, arrays)
    if len(tables) < len(named):
        other = next(name for name, part in named.items() if not is_anndata(part))
        raise ValueError(
            f"the modality {other} is {type(named[other]).__name__} and others are AnnData objects,"
            " which are joined by the names of their cells; give arrays alone, such as adata.X"
        )
    cells = _cells(data.obs_names if is_mudata else None, tables)
    if len(tables) > 1 and len(cells) == sum(table.n_obs for table in tables):
        listed = ", ".join(f"{name}: {part.obs_names[0]!r}, ..." for name, part in named.items())
        raise ValueError(f"the modalities have no cell in common ({listed}); make obs_names alike")
    joined = {name: _joined(part, cells, name) for name, part in named.items()}
    if isinstance(labels, str):
        return joined, _column(labels, cells, ([data] if is_mudata else []) + tables)
    return joined, None if labels is None else as_event_labels(labels, "labels")


def check_names(names: Iterable[object]) -> None:
    """Refuse names of modalities that metrics and overrides cannot carry."""
    for name in names:
        if isinstance(name, bool | float):
            raise ValueError(
                f"data.modalities has the name {name!r}, as YAML reads words such as true, inf and"
                " 1e3; choose another one"
            )
        if not NAME.fullmatch(str(name)) or name in ("null", None):
            raise ValueError(
                f"data.modalities has the name {name!r}; metrics and overrides are named after"
                " modalities, so a name consists of letters from a to z, digits and any of . _ + -"
            )
        if name in RESERVED:
            raise ValueError(
                f"data.modalities has the name {name!r}, which names predictions and metrics"
                " of several modalities; choose another one"
            )


def check_same_index(tables: Mapping[str, Any]) -> None:
    """Refuse data frames and series whose rows have other names, or the same in another order."""
    named = {name: one.index for name, one in tables.items() if hasattr(one, "iloc")}
    first = next(iter(named.items()), None)
    for name, index in named.items():
        assert first is not None
        if not (index.equals(first[1]) or _is_unnamed(index, first[1])):
            raise ValueError(
                f"the data frames {first[0]} and {name} have different row names, or another order"
                " of them; row i of each must be event i: use reindex, or to_numpy() if it is"
            )


def _is_unnamed(one: Any, other: Any) -> bool:
    """Whether one index merely counts the rows, and the other has words for them."""
    counting, words = (one, other) if hasattr(one, "step") else (other, one)
    counts = hasattr(counting, "step") and (counting.start, counting.step) == (0, 1)
    return counts and str(words.dtype) in ("object", "string", "str")


def _array_labels(labels: Any, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    if labels is None:
        return None
    if isinstance(labels, str):
        raise ValueError(f"labels is {labels!r}, but arrays have no columns; give one label a row")
    found = as_event_labels(labels, "labels")
    lengths = {len(array) for array in arrays.values()}
    # Modalities of unlike lengths are refused where they are read, which names them all.
    if len(lengths) == 1:
        check_labels("labels", found, lengths.pop())
    return found


def _cells(names: Any, tables: list[Any]) -> list[str]:
    """Names of all cells, those of the first table first."""
    found: dict[str, None] = {} if names is None else dict.fromkeys(map(str, names))
    for table in tables:
        own = [str(name) for name in table.obs_names]
        if len(set(own)) < len(own):
            raise ValueError("cells have the same name; make the names unique before joining")
        found.update(dict.fromkeys(own))
    return list(found)


def _rows(table: Any, cells: list[str]) -> NDArray[np.int64]:
    """Row of each cell in a table; -1 where it lacks the cell."""
    return place_of(list(map(str, table.obs_names)), cells)


def _joined(table: Any, cells: list[str], name: str) -> NDArray[np.float32]:
    values = as_array(table.X, f"the samples of {name}").astype(np.float32)
    rows = _rows(table, cells)
    joined = values[rows]
    joined[rows < 0] = np.nan
    return joined


def _column(column: str, cells: list[str], tables: list[Any]) -> NDArray[Any]:
    """Labels in the first table that has the column."""
    table = next((table for table in tables if column in table.obs), None)
    if table is None:
        there = ", ".join(dict.fromkeys(str(name) for table in tables for name in table.obs))
        raise ValueError(
            f"labels is {column!r}, but obs has no such column; it has {there or 'none'}"
        )
    values = as_labels(table.obs[column], table.n_obs, f"labels {column!r}")
    rows = _rows(table, cells)
    missing: Any = "" if values.dtype.kind == "U" else -1
    return np.where(rows < 0, missing, values[rows])
