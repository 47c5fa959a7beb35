"""Sources of cells: an AnnData object, or an .h5ad file of which only the parts asked for are read.

A matrix is named `X`, `raw` (the `X` of AnnData's `raw`, with genes of its own) or as its layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.cell_files import require_anndata
from mixvae.data.cell_matrices import CellMatrix, MatrixInMemory, MatrixOnDisk
from mixvae.data.genes import check_unique

X = "X"
RAW = "raw"
NOT_CELLS = "it is not an AnnData file (.h5ad) that anndata 0.8 or newer has written"


class CellSource(ABC):
    """Names, matrices and columns that describe cells."""

    name: str  # for messages
    cells: list[str]
    layers: tuple[str, ...]
    columns: tuple[str, ...]  # of obs

    @abstractmethod
    def _genes(self, layer: str) -> list[str]:
        """Names of the genes of a matrix in `layers`."""

    @abstractmethod
    def _matrix(self, layer: str, genes: list[str], name: str) -> CellMatrix:
        """A matrix in `layers`."""

    @abstractmethod
    def _column(self, column: str) -> Any:
        """A column of obs: an array or pandas categorical, length N."""

    def matrix(self, layer: str) -> CellMatrix:
        """A matrix by name; refused if unknown or empty, or if two genes have one name."""
        if layer not in self.layers:
            there = ", ".join(self.layers) or "no matrix"
            raise ValueError(f"{self.name} has no matrix {layer!r}; it has {there}")
        genes = self._genes(layer)
        matrix = self._matrix(layer, genes, f"{layer} of {self.name}")
        if matrix.shape != (len(self.cells), len(genes)):
            raise ValueError(
                f"{matrix.name} has shape {matrix.shape}, but there are names of"
                f" {len(self.cells)} cells and {len(genes)} genes"
            )
        if 0 in matrix.shape:
            raise ValueError(f"{matrix.name} has no cells or no genes; its shape is {matrix.shape}")
        check_unique(genes, "gene")
        return matrix

    def column(self, column: str) -> Any:
        """A column of obs, of numbers, words or categories, length N."""
        return self._column(column)

    def words(self, column: str, what: str) -> list[str | None]:
        """The values of a column of obs as words, None where missing, for the setting `what`."""
        if column not in self.columns:
            there = ", ".join(self.columns) or "none"
            near = get_close_matches(column, self.columns, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{what} is {column!r}, but obs of {self.name} has no such column; it has"
                f" {there}{meant}"
            )
        values = np.asarray(self._column(column), dtype=object)
        # NaN differs from itself; comparing pandas' NA gives neither True nor False
        return [
            None
            if value is None or type(value).__name__ == "NAType" or value != value
            else str(value)
            for value in values
        ]


class AnnDataSource(CellSource):
    """Cells of an AnnData object in memory, which is not changed."""

    def __init__(self, adata: Any, name: str = "the AnnData object") -> None:
        self.name = name
        self._adata = adata
        self.cells = list(map(str, adata.obs_names))
        # anndata 0.13 also lists X among the layers, under the name None
        self.layers = (
            *([X] if adata.X is not None else ()),
            *([RAW] if adata.raw is not None else ()),
            *(str(layer) for layer in adata.layers if layer is not None),
        )
        self.columns = tuple(map(str, adata.obs.columns))

    def _genes(self, layer: str) -> list[str]:
        return list(map(str, (self._adata.raw if layer == RAW else self._adata).var_names))

    def _matrix(self, layer: str, genes: list[str], name: str) -> CellMatrix:
        whole = {X: lambda: self._adata.X, RAW: lambda: self._adata.raw.X}
        matrix = whole.get(layer, lambda: self._adata.layers[layer])()
        return MatrixInMemory(matrix, genes, layer, name)

    def _column(self, column: str) -> Any:
        return self._adata.obs[column]


class H5adSource(CellSource):
    """Cells of an .h5ad file. A context manager, which closes the file at its end."""

    def __init__(self, path: Path) -> None:
        require_anndata()
        import h5py  # comes with anndata

        self.name = str(path)
        if path.is_dir():
            raise ValueError(f"{path} is a folder; data.path names an .h5ad file")
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}; data.path names an .h5ad file")
        try:
            self._file = h5py.File(path, "r")
        except PermissionError:
            raise
        except OSError as error:
            if h5py.is_hdf5(path):
                raise ValueError(
                    f"{path} cannot be read, as it is truncated or broken: {error}"
                ) from error
            raise ValueError(f"{path} cannot be read: {NOT_CELLS}") from error
        try:
            file = self._file
            if any("_index" not in getattr(file.get(part), "attrs", ()) for part in ("obs", "var")):
                raise ValueError(f"{path} cannot be read: {NOT_CELLS}")
            self.cells = self._index("obs")
            self.layers = (
                *([X] if X in file else ()),
                *([RAW] if "raw/X" in file else ()),
                *map(str, file.get("layers", ())),
            )
            self.columns = tuple(map(str, file["obs"].attrs.get("column-order", ())))
        except (OSError, KeyError) as error:
            self.close()
            raise ValueError(f"{path} is truncated or broken: {error}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> H5adSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _genes(self, layer: str) -> list[str]:
        return self._index("raw/var" if layer == RAW else "var")

    def _matrix(self, layer: str, genes: list[str], name: str) -> CellMatrix:
        place = {X: "X", RAW: "raw/X"}.get(layer, f"layers/{layer}")
        return MatrixOnDisk(self._file[place], genes, layer, name)

    def _column(self, column: str) -> Any:
        return _read_element(self._file["obs"][column])

    def _index(self, place: str) -> list[str]:
        group = self._file[place]
        return [str(name) for name in _read_element(group[group.attrs["_index"]])]


def _read_element(node: Any) -> Any:
    from anndata.io import read_elem

    return read_elem(node)
