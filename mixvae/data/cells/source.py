"""Sources of cells: an AnnData object, or an HDF5 file of which only the parts asked for are read.

A matrix is named `X`, `raw` (the `X` of AnnData's `raw`, with genes of its own) or as its layer.
`layers/raw` is the layer of that name; `raw` finds it too where the file has no `raw` of AnnData's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np

from mixvae.data.cells.expression import MEANING, Kind, extent_of
from mixvae.data.cells.genes import check_unique
from mixvae.data.cells.matrices import CellMatrix, MatrixInMemory
from mixvae.data.files.gene_names import as_flags, as_words, distinct, without_versions
from mixvae.data.files.table_lines import MISSING_WORDS
from mixvae.messages import inform
from mixvae.suggestions import nearest

X = "X"
RAW = "raw"
SAMPLED = 100  # cells that tell the kind of a matrix
FILE = "file"  # a column of every source of files


class CellSource(ABC):
    """Names, matrices and columns that describe cells. A context manager.

    Attributes:
        file: Short name of the file, the value of the column `file` unless obs has its own.
        gene_names: Column of var whose values name the genes; None for the index.
    """

    name: str
    cells: list[str]
    layers: tuple[str, ...]
    columns: tuple[str, ...]
    gene_names: str | None = None
    notes: tuple[str, ...] = ()
    file: str = ""

    @abstractmethod
    def _index(self, layer: str) -> list[str]:
        """The index of var, or of raw's var, of a matrix in `layers`."""

    @abstractmethod
    def _var_columns(self, layer: str) -> tuple[str, ...]:
        """The columns of that var."""

    @abstractmethod
    def _var_column(self, layer: str, column: str) -> Any:
        """One of them, length G."""

    @abstractmethod
    def _matrix(self, layer: str, genes: list[str], name: str) -> CellMatrix:
        """A matrix in `layers`."""

    @abstractmethod
    def _column(self, column: str) -> Any:
        """A column of obs: an array or pandas categorical, length N."""

    def __enter__(self) -> CellSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - cells in memory have nothing to close
        """Close what was opened."""

    def find(self, layer: str) -> str | None:
        """Return the canonical name of a matrix, None if it is missing."""
        bare = layer.removeprefix("layers/")
        names = [layer, bare] if bare not in (X, RAW) else [layer]
        if layer == bare:
            names.append(f"layers/{bare}")
        return next((name for name in names if name in self.layers), None)

    def matrix(self, layer: str) -> CellMatrix:
        """A matrix by name; refused if unknown or empty, or if two genes have one name."""
        found = self.find(layer)
        if found is None:
            raise ValueError(f"{self.name} has no matrix {layer!r}; {self._other_than(layer)}")
        genes = self.genes(found)
        matrix = self._matrix(found, genes, f"{found} of {self.name}")
        if matrix.shape != (self.num_cells, len(genes)):
            raise ValueError(
                f"{matrix.name} has shape {matrix.shape}, but there are names of"
                f" {self.num_cells} cells and {len(genes)} genes"
            )
        if 0 in matrix.shape:
            raise ValueError(f"{matrix.name} has no cells or no genes; its shape is {matrix.shape}")
        check_unique(genes, "gene" if found != RAW else "raw gene")
        return matrix

    def genes(self, layer: str) -> list[str]:
        """Names of the genes of a matrix in `layers`, by `gene_names`; Ensembl versions go."""
        index = self._index(layer)
        if self.gene_names is None:
            return without_versions(index)
        names = [name or own for name, own in zip(self._described(layer), index, strict=True)]
        return without_versions(distinct(names, index))

    def name_genes_as(self, wanted: Sequence[str], layer: str) -> None:
        """Choose the column of var, or the index, that has most of the `wanted` names."""
        have, counted = set(wanted), {}
        for column in (None, *self._var_columns(layer)):
            self.gene_names = column
            counted[column] = len(have.intersection(self.genes(layer)))
        self.gene_names = max(counted, key=lambda column: counted[column])
        if self.gene_names is not None:
            self.notes += (f"genes are found by the column {self.gene_names!r} of var",)

    def marked_genes(self, layer: str, column: str) -> list[str] | None:
        """Genes of a matrix for which a column of booleans of var is true; None without it."""
        layer = self.find(layer) or layer
        place = layer if column in self._var_columns(layer) else X
        if column not in self._var_columns(place):
            return None
        flags = as_flags(self._var_column(place, column))
        if flags is None:
            raise ValueError(
                f"data.genes is {column!r}, but that column of var holds"
                f" {as_words(self._var_column(place, column))[0]!r}, not true and false"
            )
        marked = {name for name, flag in zip(self._index(place), flags, strict=True) if flag}
        both = zip(self.genes(layer), self._index(layer), strict=True)
        return [name for name, own in both if own in marked]

    def gene_columns(self, layer: str) -> tuple[str, ...]:
        """Columns of var, of a matrix by name and of X."""
        found = self.find(layer) or X
        return tuple(dict.fromkeys((*self._var_columns(found), *self._var_columns(X))))

    @cached_property
    def files(self) -> list[str]:
        """Short name of the file of each cell; empty for cells of none."""
        return [self.file] * self.num_cells if self.file else []

    @property
    def num_cells(self) -> int:
        """Number of the cells."""
        return len(self.cells)

    def has(self, column: str) -> bool:
        """Whether obs has a column; `file` is one of every file."""
        return column in self.columns or (column == FILE and bool(self.file))

    def column(self, column: str) -> Any:
        """A column of obs, length N: numbers, words, or categories as objects."""
        if column == FILE and column not in self.columns:
            return np.array(self.files, dtype=object)
        values = self._column(column)
        return values.astype(object) if str(values.dtype) == "category" else values

    def words(self, column: str, what: str) -> list[str | None]:
        """The values of a column of obs as words, None where missing, for the setting `what`.

        Words such as `nan`, which missing values become by `astype(str)`, are missing too.
        """
        if not self.has(column):
            there = ", ".join(self.columns) or "none"
            raise ValueError(
                f"{what} is {column!r}, but obs of {self.name} has no such column; it has"
                f" {there}{nearest(column, self.columns)}"
            )
        words = as_words(self.column(column))
        unsaid = {word for word in words if word is not None and word.lower() in MISSING_WORDS}
        if unsaid:
            words_of_none = " or ".join(map(repr, sorted(unsaid)))
            inform(f"{what} {column!r}: cells with {words_of_none} there have no value")
        return [None if word in unsaid else word for word in words]

    def kind_of(self, layer: str) -> Kind:
        """Kind of a matrix in `layers`, by its first cells."""
        matrix = self._matrix(layer, self._index(layer), f"{layer} of {self.name}")
        return extent_of(matrix.read(0, min(SAMPLED, matrix.shape[0]))).kind

    def better_than_scaled(self, layer: str) -> str:
        """Name the matrices with counts or log data, if this one holds negative values; or ''."""
        if self.kind_of(layer) != "scaled":
            return ""
        kinds = {name: self.kind_of(name) for name in self.layers if name != layer}
        good = [name for name in kinds if kinds[name] != "scaled"]
        return "; ".join(f"data.layer={name} holds {MEANING[kinds[name]]}" for name in good)

    def _other_than(self, layer: str) -> str:
        """The matrices that there are, for a message."""
        if not self.layers:
            return (
                "it has none: expression belongs into X, raw or a layer, and values of obsm into X"
                " of an AnnData object of their own"
            )
        same = [name for name in self.layers if name.lower() == layer.lower()]
        near = (same or get_close_matches(layer, self.layers, n=1) or list(self.layers))[0]
        return f"it has {', '.join(self.layers)}: data.layer={near}"

    def _described(self, layer: str) -> list[str | None]:
        """Values of the column `gene_names`; raw's genes may be described in var alone."""
        column = str(self.gene_names)
        if column in self._var_columns(layer):
            return as_words(self._var_column(layer, column))
        if layer != RAW or column not in self._var_columns(X):
            there = ", ".join(self._var_columns(layer)) or "none"
            raise ValueError(
                f"data.gene_names is {column!r}, but var of {self.name} has no such column; it has"
                f" {there}"
            )
        both = zip(self._index(X), as_words(self._var_column(X, column)), strict=True)
        known = dict(both)
        return [known.get(name) for name in self._index(layer)]


class AnnDataSource(CellSource):
    """Cells of an AnnData object in memory, which is not changed."""

    def __init__(
        self, adata: Any, name: str = "the AnnData object", gene_names: str | None = None
    ) -> None:
        self.name, self.gene_names = name, gene_names
        self.adata = adata
        self.cells = list(map(str, adata.obs_names))
        self.layers = (
            *([X] if adata.X is not None else ()),
            *([RAW] if adata.raw is not None else ()),
            # anndata 0.13 also lists X among the layers, under the name None
            *(canonical(str(layer)) for layer in adata.layers if layer is not None),
        )
        self.columns = tuple(map(str, adata.obs.columns))

    def _var(self, layer: str) -> Any:
        return (self.adata.raw if layer == RAW else self.adata).var

    def _index(self, layer: str) -> list[str]:
        return list(map(str, (self.adata.raw if layer == RAW else self.adata).var_names))

    def _var_columns(self, layer: str) -> tuple[str, ...]:
        return tuple(map(str, self._var(layer).columns))

    def _var_column(self, layer: str, column: str) -> Any:
        return self._var(layer)[column]

    def _matrix(self, layer: str, genes: list[str], name: str) -> CellMatrix:
        whole = {X: lambda: self.adata.X, RAW: lambda: self.adata.raw.X}
        own = layer.removeprefix("layers/")
        matrix = whole.get(layer, lambda: self.adata.layers[own])()
        return MatrixInMemory(matrix, genes, layer, name)

    def _column(self, column: str) -> Any:
        obs = self.adata.obs
        (place, *others) = [n for n, name in enumerate(obs.columns) if str(name) == column]
        if others:
            raise ValueError(f"obs of {self.name} has {1 + len(others)} columns {column!r}")
        return obs.iloc[:, place]


def canonical(layer: str) -> str:
    """Name a layer; `layers/` distinguishes one called X or raw from the matrix of that name."""
    return f"layers/{layer}" if layer in (X, RAW) else layer
