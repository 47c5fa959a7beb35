"""Matrices of cells, in memory or in an HDF5 file, whose rows are read by their range."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixvae.data.expression import (
    Extent,
    Kind,
    Matrix,
    check_expression,
    common_scale,
    extent_of,
    is_expected_counts,
)
from mixvae.data.genes import gene_range

VALUES_AT_ONCE = 20_000_000  # of a matrix on disk, looked at together


class Contents(NamedTuple):
    """The contents of a matrix.

    Attributes:
        varies: Whether each gene differs between any two cells, shape (G,).
        scale: Of log data, see `expression.common_scale`.
    """

    kind: Kind
    varies: NDArray[np.bool_]
    scale: float | None


class CellMatrix(ABC):
    """One matrix of a source; rows are read by their range, as float32, dense or CSR.

    Attributes:
        layer: Name in its source; `name` is for messages.
        shape: Cells and genes, (N, G).
        num_rows: Rows that `parts` reads at a time.
    """

    name: str
    layer: str
    genes: tuple[str, ...]
    shape: tuple[int, int]
    num_rows: int

    @abstractmethod
    def read(self, start: int, stop: int) -> Matrix:
        """Read the rows from `start` to before `stop`."""

    @abstractmethod
    def in_memory(self) -> CellMatrix:
        """Return the matrix as a whole in memory."""

    def parts(self) -> Iterator[tuple[range, Matrix]]:
        """Read all rows, by ranges that fit into memory."""
        for start in range(0, self.shape[0], self.num_rows):
            rows = range(start, min(start + self.num_rows, self.shape[0]))
            yield rows, self.read(rows.start, rows.stop)

    def look_through(self) -> Contents:
        """Read and check every value once."""
        extent: Extent | None = None
        scale: float | None = None
        expected = False
        low = np.full(self.shape[1], np.inf)
        high = -low
        for _, part in self.parts():
            check_expression(part, self.name)
            present = extent_of(part)
            if extent is None and present.kind == "log":
                scale = common_scale(part)
                expected = scale is None and is_expected_counts(part)
            extent = present if extent is None else extent.joined(present)
            least, most = gene_range(part)
            np.minimum(low, least, out=low)
            np.maximum(high, most, out=high)
        assert extent is not None, "a source refuses a matrix without cells"
        kind = "linear" if expected and extent.kind == "log" else extent.kind
        return Contents(kind, low < high, scale)


class MatrixInMemory(CellMatrix):
    """A numpy array or scipy matrix, shape (N, G)."""

    def __init__(self, matrix: Any, genes: Sequence[str], layer: str, name: str) -> None:
        whole = matrix.tocsr() if sparse.issparse(matrix) else np.asarray(matrix)
        self._matrix = whole.astype(np.float32, copy=False)
        self.name, self.layer, self.genes = name, layer, tuple(genes)
        self.shape = self._matrix.shape
        self.num_rows = max(1, self.shape[0])

    def read(self, start: int, stop: int) -> Matrix:
        """Return the rows from `start` to before `stop`."""
        whole = (start, stop) == (0, self.shape[0])
        return self._matrix if whole else self._matrix[start:stop]

    def in_memory(self) -> CellMatrix:
        """Return this matrix."""
        return self


class MatrixOnDisk(CellMatrix):
    """A dense, CSR or CSC matrix of an HDF5 file: 9 times as fast as anndata's `sparse_dataset`.

    At first only the places where the rows of a CSR matrix begin are read. A CSC matrix is read
    whole each time.
    """

    def __init__(self, node: Any, genes: Sequence[str], layer: str, name: str) -> None:
        self.name, self.layer, self.genes = name, layer, tuple(genes)
        self._node = node
        kind = node.attrs.get("encoding-type", "array" if hasattr(node, "dtype") else "unknown")
        if kind not in ("array", "csr_matrix", "csc_matrix"):
            raise ValueError(f"{name} is stored as {kind}; an array or a CSR matrix is needed")
        self.kind = str(kind)
        shape = node.shape if kind == "array" else node.attrs["shape"]
        if len(shape) != 2:
            raise ValueError(f"{name} has shape {tuple(shape)}; cells by genes are needed")
        self.shape = (int(shape[0]), int(shape[1]))
        self.num_rows = max(1, VALUES_AT_ONCE // max(1, self.shape[1]))
        self._starts: NDArray[np.int64] | None = None
        if kind != "array":
            self._starts = node["indptr"][:].astype(np.int64)
            lengths = {len(node["data"]), len(node["indices"]), int(self._starts[-1])}
            if len(self._starts) - 1 != self.shape[kind == "csc_matrix"] or len(lengths) != 1:
                raise ValueError(f"{name} is broken: its parts have lengths that do not fit")

    def read(self, start: int, stop: int) -> Matrix:
        """Read the rows from `start` to before `stop`."""
        if self._starts is None:
            return self._node.astype(np.float32)[start:stop]
        data, indices = self._node["data"].astype(np.float32), self._node["indices"]
        if self.kind == "csc_matrix":
            parts = (data[:], indices[:], self._starts)
            return sparse.csc_matrix(parts, shape=self.shape).tocsr()[start:stop]
        first, last = self._starts[start], self._starts[stop]
        parts = (data[first:last], indices[first:last], self._starts[start : stop + 1] - first)
        return sparse.csr_matrix(parts, shape=(stop - start, self.shape[1]))

    def in_memory(self) -> CellMatrix:
        """Read the matrix as a whole."""
        return MatrixInMemory(self.read(0, self.shape[0]), self.genes, self.layer, self.name)

    def check_rows(self) -> None:
        """Refuse a matrix that cannot be read by rows."""
        if self.kind == "csc_matrix":
            raise ValueError(
                f"{self.name} is stored by columns (CSC), which cannot be read by rows: write it as"
                " CSR, adata.X = adata.X.tocsr(), or use backed=false"
            )
