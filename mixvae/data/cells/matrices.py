"""Matrices of cells, in memory or in a file, whose rows are read by their ranges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixvae.data.cells.expression import Kind, Matrix, canonical, check_expression, extent_of
from mixvae.data.cells.genes import gene_range
from mixvae.data.cells.log_scales import common_scale, is_linear, warn_of_form

VALUES_AT_ONCE = 20_000_000  # of a matrix on disk, read together
MOST_SEEN = 20_000  # cells on disk by which a matrix is known
NEIGHBOURS = 64  # rows of them that are read together


class Contents(NamedTuple):
    """The contents of a matrix.

    Attributes:
        varies: Whether each gene differs between any two cells, shape (G,).
    """

    kind: Kind
    varies: NDArray[np.bool_]
    scale: float | None


class CellMatrix(ABC):
    """One matrix of a source; rows are read by their ranges, as float32, dense or CSR.

    Attributes:
        layer: Name in its source; `name` is for messages.
        shape: Cells and genes, (N, G).
        num_stored: Values that a sparse matrix stores; None of a dense one.
    """

    name: str
    layer: str
    genes: tuple[str, ...]
    shape: tuple[int, int]
    num_stored: int | None = None

    @abstractmethod
    def read_spans(self, spans: Sequence[range]) -> Matrix:
        """Read the rows of these ranges, at least one, one below the other."""

    @abstractmethod
    def in_memory(self) -> MatrixInMemory:
        """Return the matrix as a whole in memory."""

    def read(self, start: int, stop: int) -> Matrix:
        """Read the rows from `start` to before `stop`."""
        return self.read_spans([range(start, stop)])

    def blocks(self) -> Iterator[Matrix]:
        """Read all rows, a block that fits into memory at a time."""
        size = max(1, VALUES_AT_ONCE // self.shape[1])
        for start in range(0, self.shape[0], size):
            yield self.read(start, min(start + size, self.shape[0]))

    def sampled(self, rows: NDArray[np.int64]) -> tuple[MatrixInMemory, NDArray[np.int64]]:
        """Cells by which the matrix is known, and the places in them of those that are in `rows`.

        Of a matrix on disk about 20,000 cells, ranges of neighbours drawn from all over it; of
        fewer cells, or in memory, all.
        """
        size = self.shape[0]
        if size <= MOST_SEEN:
            return self.in_memory(), rows
        random, total = np.random.default_rng(0), -(-size // NEIGHBOURS)
        drawn = np.sort(random.choice(total, MOST_SEEN // NEIGHBOURS, replace=False)) * NEIGHBOURS
        spans = [range(s, min(s + NEIGHBOURS, size)) for s in drawn.tolist()]
        place = np.full(size, -1)
        number = np.concatenate([np.asarray(span) for span in spans])
        place[number] = np.arange(len(number))
        seen = MatrixInMemory(self.read_spans(spans), self.genes, self.layer, self.name)
        return seen, place[rows][place[rows] >= 0]


class MatrixInMemory(CellMatrix):
    """A numpy array or scipy matrix, shape (N, G)."""

    def __init__(self, matrix: Any, genes: Sequence[str], layer: str, name: str) -> None:
        whole: Matrix = canonical(matrix) if sparse.issparse(matrix) else np.asarray(matrix)
        _check_numbers(whole.dtype, name)
        self.whole: Matrix = whole.astype(np.float32, copy=False)
        self.name, self.layer, self.genes = name, layer, tuple(genes)
        self.shape = self.whole.shape
        self.num_stored = self.whole.nnz if sparse.issparse(whole) else None

    def read_spans(self, spans: Sequence[range]) -> Matrix:
        """Return the rows of these ranges; the whole is not copied."""
        if list(spans) == [range(self.shape[0])]:
            return self.whole
        return stacked([self.whole[span.start : span.stop] for span in spans])

    def in_memory(self) -> MatrixInMemory:
        """Return this matrix."""
        return self

    def sampled(self, rows: NDArray[np.int64]) -> tuple[MatrixInMemory, NDArray[np.int64]]:
        """Return all of it."""
        return self, rows

    def look_through(self) -> Contents:
        """Check every value, and find what the matrix holds."""
        check_expression(self.whole, self.name)
        extent = extent_of(self.whole)
        if extent.whole and extent.smallest < 0:
            raise ValueError(
                f"{self.name} holds whole numbers, as counts are, but also {extent.smallest:g};"
                " counts are 0 or more: mend such values, or name another matrix: data.layer=NAME"
            )
        kind, scale = extent.kind, None
        if kind in ("log", "linear"):
            if is_linear(self.whole):
                kind = "linear"
            elif kind == "linear" or (scale := common_scale(self.whole)) is None:
                warn_of_form(self.whole, self.name)
        low = np.full(self.shape[1], np.inf)
        high = -low
        for block in self.blocks():
            # most genes differ in the first block, and need no second look
            left = np.flatnonzero(low >= high)
            if not len(left):
                break
            least, most = gene_range(block if len(left) == self.shape[1] else block[:, left])
            low[left] = np.minimum(low[left], least)
            high[left] = np.maximum(high[left], most)
        return Contents(kind, low < high, scale)


class MatrixOnDisk(CellMatrix):
    """A dense, CSR or CSC matrix of an HDF5 file or a zarr store.

    At first only the places where the rows of a CSR matrix begin are read. A CSC matrix is read
    whole each time.
    """

    def __init__(self, node: Any, genes: Sequence[str], layer: str, name: str) -> None:
        self.name, self.layer, self.genes = name, layer, tuple(genes)
        kind = node.attrs.get("encoding-type", "array" if hasattr(node, "dtype") else "unknown")
        if kind not in ("array", "csr_matrix", "csc_matrix"):
            raise ValueError(f"{name} is stored as {kind}; an array or a CSR matrix is needed")
        self.kind = str(kind)
        _check_numbers((node if kind == "array" else node["data"]).dtype, name)
        shape = node.shape if kind == "array" else node.attrs["shape"]
        if len(shape) != 2:
            raise ValueError(f"{name} has shape {tuple(shape)}; cells by genes are needed")
        self.shape = (int(shape[0]), int(shape[1]))
        self._starts: NDArray[np.int64] | None = None
        if kind == "array":
            self._values = node
            return
        self._values, self._indices = node["data"], node["indices"]
        self._starts = node["indptr"][:].astype(np.int64)
        self.num_stored = int(self._starts[-1])
        lengths = {self._values.shape[0], self._indices.shape[0], self.num_stored}
        if len(self._starts) - 1 != self.shape[kind == "csc_matrix"] or len(lengths) != 1:
            raise ValueError(f"{name} is broken: its parts have lengths that do not fit")

    def read_spans(self, spans: Sequence[range]) -> Matrix:
        """Read the rows of these ranges."""
        with reading(self.name):
            return self._read(spans)

    def _read(self, spans: Sequence[range]) -> Matrix:
        if self._starts is None:
            return _floats(self._values, [(span.start, span.stop) for span in spans])
        if self.kind == "csc_matrix":
            parts = (_floats(self._values, [(0, self.num_stored)]), self._indices[:], self._starts)
            _check_below(parts[1], self.shape[0])
            whole = sparse.csc_matrix(parts, shape=self.shape).tocsr()
            return MatrixInMemory(whole, self.genes, self.layer, self.name).read_spans(spans)
        places = [(self._starts[span.start], self._starts[span.stop]) for span in spans]
        indices = [self._indices[first:last] for first, last in places]
        lengths = [np.diff(self._starts[span.start : span.stop + 1]) for span in spans]
        starts = np.concatenate([[0], *lengths]).cumsum()
        parts = (_floats(self._values, places), _joined(indices), starts)
        _check_below(parts[1], self.shape[1])
        return sparse.csr_matrix(parts, shape=(len(starts) - 1, self.shape[1]))

    def in_memory(self) -> MatrixInMemory:
        """Read the matrix as a whole."""
        return MatrixInMemory(self.read(0, self.shape[0]), self.genes, self.layer, self.name)

    def check_rows(self) -> None:
        """Refuse a matrix that cannot be read by rows."""
        if self.kind == "csc_matrix":
            raise ValueError(
                f"{self.name} is stored by columns (CSC), which cannot be read by rows: write it as"
                " CSR, adata.X = adata.X.tocsr(), or use backed=false"
            )


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Say of a failure that what is read is damaged; zarr's decoders fail with many errors."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name} is truncated or broken: {error}") from error


def _check_numbers(dtype: Any, name: str) -> None:
    if dtype.kind not in "buif":
        raise ValueError(
            f"{name} holds {dtype} values; real numbers are needed: .astype('float32')"
        )


def _check_below(indices: NDArray[np.integer[Any]], size: int) -> None:
    """Refuse places that scipy would take unseen, and read memory that is not the matrix's."""
    if len(indices) and not 0 <= indices.min() <= indices.max() < size:
        raise ValueError(f"a value stands at place {indices.max()} of {size}")


def stacked(parts: Sequence[Matrix]) -> Matrix:
    """Matrices of the same columns, one below the other; CSR if one of them is."""
    if len(parts) == 1:
        return parts[0]
    if any(map(sparse.issparse, parts)):
        return sparse.vstack(list(map(sparse.csr_matrix, parts)), format="csr")
    return np.concatenate(parts)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _floats(stored: Any, places: Sequence[tuple[Any, Any]]) -> NDArray[np.float32]:
    """Rows or values of a stored array, from a first to before a last each, as float32."""
    if stored.dtype == np.float32 or len(places) > 1:
        read: NDArray[Any] = _joined([stored[first:last] for first, last in places])
        return read.astype(np.float32, copy=False)
    # a whole array of doubles is never in memory as such
    first, last = places[0]
    values = np.empty((last - first, *stored.shape[1:]), dtype=np.float32)
    step = max(1, VALUES_AT_ONCE // max(1, int(np.prod(stored.shape[1:]))))
    for start in range(first, last, step):
        values[start - first : start - first + step] = stored[start : min(start + step, last)]
    return values
