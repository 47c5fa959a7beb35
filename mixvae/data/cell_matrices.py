"""Matrices of cells, in memory or in an HDF5 file, whose rows are read by their range."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixvae.data.expression import Matrix


class AbstractMatrix(ABC):
    """One matrix of a source: rows are read by their range.

    Attributes:
        shape: Cells and genes, (N, G).
    """

    shape: tuple[int, int]

    @abstractmethod
    def read(self, start: int, stop: int) -> Matrix:
        """Read the rows from `start` to before `stop`, dense or CSR, float32."""


class MatrixInMemory(AbstractMatrix):
    """A numpy array or scipy matrix."""

    def __init__(self, matrix: Any) -> None:
        """Hold the matrix, shape (N, G)."""
        self._matrix = matrix.tocsr() if sparse.issparse(matrix) else np.asarray(matrix)
        self.shape = self._matrix.shape

    def read(self, start: int, stop: int) -> Matrix:
        """Return the rows from `start` to before `stop`."""
        whole = (start, stop) == (0, self.shape[0])
        part = self._matrix if whole else self._matrix[start:stop]
        return part.astype(np.float32, copy=False)


class MatrixOnDisk(AbstractMatrix):
    """A dense or CSR matrix of an HDF5 file; CSC only as a whole."""

    def __init__(self, node: Any, name: str) -> None:
        """Look at the matrix, but read only where the rows of a CSR matrix begin.

        Raises:
            ValueError: If it is neither dense nor CSR or CSC.
        """
        self.name = name
        self._node = node
        kind = node.attrs.get("encoding-type", "array" if hasattr(node, "dtype") else "unknown")
        if kind not in ("array", "csr_matrix", "csc_matrix"):
            raise ValueError(f"{name} is stored as {kind}; an array or a CSR matrix is needed")
        self.kind = str(kind)
        shape = node.shape if kind == "array" else node.attrs["shape"]
        if len(shape) != 2:
            raise ValueError(f"{name} has shape {tuple(shape)}; cells by genes are needed")
        self.shape = (int(shape[0]), int(shape[1]))
        self._starts: NDArray[np.int64] | None = None
        if kind != "array":
            self._starts = node["indptr"][:].astype(np.int64)
            lengths = {len(node["data"]), len(node["indices"]), int(self._starts[-1])}
            if len(self._starts) - 1 != self.shape[kind == "csc_matrix"] or len(lengths) != 1:
                raise ValueError(f"{name} is broken: its parts have lengths that do not fit")

    def read(self, start: int, stop: int) -> Matrix:
        """Read the rows from `start` to before `stop`; a CSC matrix is read whole each time."""
        if self._starts is None:
            return self._node.astype(np.float32)[start:stop]
        data, indices = self._node["data"].astype(np.float32), self._node["indices"]
        if self.kind == "csc_matrix":
            parts = (data[:], indices[:], self._starts)
            return sparse.csc_matrix(parts, shape=self.shape).tocsr()[start:stop]
        first, last = self._starts[start], self._starts[stop]
        parts = (data[first:last], indices[first:last], self._starts[start : stop + 1] - first)
        return sparse.csr_matrix(parts, shape=(stop - start, self.shape[1]))
