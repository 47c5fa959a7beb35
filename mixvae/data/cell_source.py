"""Where cells are read from: an .h5ad file, of which only what is asked for is read, or AnnData.

A matrix is named `X`, `raw` (the `X` of AnnData's `raw`, with genes of its own) or as its layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.cell_files import require_anndata
from mixvae.data.cell_matrices import AbstractMatrix, MatrixInMemory, MatrixOnDisk

X = "X"
RAW = "raw"
NOT_CELLS = "it is no AnnData file (.h5ad) that anndata 0.8 or newer has written"


class AbstractCellSource(ABC):
    """Cells to be read: names, matrices and columns that describe the cells.

    Attributes:
        name: What to call it in messages.
    """

    name: str

    @property
    @abstractmethod
    def cells(self) -> Sequence[str]:
        """Names of the cells, length N."""

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """Names of the matrices that there are."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of obs."""

    @abstractmethod
    def read_genes(self, layer: str) -> Sequence[str]:
        """Names of the genes of a matrix that is there."""

    @abstractmethod
    def read_matrix(self, layer: str) -> AbstractMatrix:
        """A matrix that is there."""

    @abstractmethod
    def read_column(self, column: str) -> Any:
        """A column of obs that is there: an array or pandas categorical, length N."""

    def genes(self, layer: str) -> tuple[str, ...]:
        """Names of the genes of a matrix.

        Raises:
            ValueError: If there is no such matrix; the message says which there are.
        """
        self._check_layer(layer)
        return tuple(map(str, self.read_genes(layer)))

    def matrix(self, layer: str) -> AbstractMatrix:
        """A matrix by name.

        Raises:
            ValueError: If there is no such matrix; the message says which there are.
        """
        self._check_layer(layer)
        return self.read_matrix(layer)

    def words(self, column: str, what: str) -> list[str | None]:
        """The values of a column of obs as words, None where one is missing.

        Args:
            column: Name of the column.
            what: Setting that names it, for a message.

        Returns:
            N words.

        Raises:
            ValueError: If there is no such column; the message says which there are.
        """
        if column not in self.columns:
            there = ", ".join(self.columns) or "none"
            raise ValueError(
                f"{what} is {column!r}, but obs of {self.name} has no such column; it has {there}"
            )
        values = np.asarray(self.read_column(column), dtype=object)
        # NaN differs from itself; pandas' own marker of what is missing says neither yes nor no
        return [
            None
            if value is None or type(value).__name__ == "NAType" or value != value
            else str(value)
            for value in values
        ]

    def _check_layer(self, layer: str) -> None:
        if layer not in self.layers:
            there = ", ".join(self.layers) or "no matrix"
            raise ValueError(f"{self.name} has no matrix {layer!r}; it has {there}")


class AnnDataSource(AbstractCellSource):
    """Cells of an AnnData object in memory."""

    def __init__(self, adata: Any, name: str = "the AnnData object") -> None:
        """Hold the object, which is not changed."""
        self.name = name
        self._adata = adata

    @property
    def cells(self) -> Sequence[str]:
        """Names of the cells."""
        return list(map(str, self._adata.obs_names))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the matrices."""
        there = [X] if self._adata.X is not None else []
        there += [RAW] if self._adata.raw is not None else []
        return (*there, *self._adata.layers)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of obs."""
        return tuple(self._adata.obs.columns)

    def read_genes(self, layer: str) -> Sequence[str]:
        """Names of the genes of a matrix."""
        return list(self._adata.raw.var_names if layer == RAW else self._adata.var_names)

    def read_matrix(self, layer: str) -> AbstractMatrix:
        """A matrix by name."""
        whole = {X: lambda: self._adata.X, RAW: lambda: self._adata.raw.X}
        return MatrixInMemory(whole.get(layer, lambda: self._adata.layers[layer])())

    def read_column(self, column: str) -> Any:
        """A column of obs."""
        return self._adata.obs[column]


class H5adSource(AbstractCellSource):
    """Cells of an .h5ad file, of which only what is asked for is read.

    A context manager: the file is closed at its end.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no .h5ad file, or a broken one.
            ImportError: If anndata is not installed.
        """
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
        index = [
            self._file[group].attrs.get("_index") for group in ("obs", "var") if group in self._file
        ]
        if len(index) != 2 or None in index:
            self.close()
            raise ValueError(f"{path} cannot be read: {NOT_CELLS}")

    def __enter__(self) -> H5adSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def cells(self) -> Sequence[str]:
        """Names of the cells."""
        return self._index(self._file["obs"])

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the matrices."""
        there = [X] if X in self._file else []
        there += [RAW] if "raw/X" in self._file else []
        return (*there, *self._file.get("layers", ()))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of obs."""
        return tuple(map(str, self._file["obs"].attrs.get("column-order", ())))

    def read_genes(self, layer: str) -> Sequence[str]:
        """Names of the genes of a matrix."""
        return self._index(self._file["raw/var" if layer == RAW else "var"])

    def read_matrix(self, layer: str) -> AbstractMatrix:
        """A matrix by name."""
        place = {X: "X", RAW: "raw/X"}.get(layer, f"layers/{layer}")
        matrix = MatrixOnDisk(self._file[place], f"{place} of {self.name}")
        expected = (len(self.cells), len(self.read_genes(layer)))
        if matrix.shape != expected:
            raise ValueError(
                f"{matrix.name} has shape {matrix.shape}, but there are names of {expected[0]}"
                f" cells and {expected[1]} genes"
            )
        return matrix

    def read_column(self, column: str) -> Any:
        """A column of obs."""
        return _read_element(self._file["obs"][column])

    def _index(self, group: Any) -> list[str]:
        return [str(name) for name in _read_element(group[group.attrs["_index"]])]


def _read_element(node: Any) -> Any:
    try:
        from anndata.io import read_elem
    except ImportError:  # before 0.11
        from anndata.experimental import read_elem
    return read_elem(node)
