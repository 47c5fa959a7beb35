"""Several modalities given from Python: a dict of arrays or AnnData objects, or a MuData object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.alignment import place_of
from mixvae.data.given import as_array, as_labels, is_anndata


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
    tables = [part for part in named.values() if is_anndata(part)]
    if not tables:
        arrays = {name: as_array(part, f"the samples of {name}") for name, part in named.items()}
        return arrays, _array_labels(labels, arrays)
    if len(tables) < len(named):
        other = next(name for name, part in named.items() if not is_anndata(part))
        raise ValueError(
            f"the modality {other} is {type(named[other]).__name__} and others are AnnData objects,"
            " which are joined by the names of their cells; give arrays alone, such as adata.X"
        )
    cells = _cells(data.obs_names if is_mudata else None, tables)
    joined = {name: _joined(part, cells, name) for name, part in named.items()}
    if isinstance(labels, str):
        return joined, _column(labels, cells, ([data] if is_mudata else []) + tables)
    return joined, None if labels is None else as_labels(labels, len(cells), "labels")


def _array_labels(labels: Any, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    if labels is None:
        return None
    if isinstance(labels, str):
        raise ValueError(f"labels is {labels!r}, but arrays have no columns; give one label a row")
    lengths = {len(array) for array in arrays.values()}
    # Modalities of unlike lengths are refused where they are read, which names them all.
    return as_labels(labels, len(labels) if len(lengths) > 1 else lengths.pop(), "labels")


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
        raise ValueError(f"labels is {column!r}, but obs has no such column; it has {there or 0}")
    values = as_labels(table.obs[column], table.n_obs, f"labels {column!r}")
    rows = _rows(table, cells)
    missing: Any = "" if values.dtype.kind == "U" else -1
    return np.where(rows < 0, missing, values[rows])
