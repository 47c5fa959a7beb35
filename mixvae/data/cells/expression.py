"""Expression matrices, dense or CSR: their kinds, and log-CPM made of counts.

Pure functions of arrays of shape (N, G), cells by genes. None makes a sparse matrix dense.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixvae.messages import inform, warn

Matrix = Any
"""A numpy array or a scipy CSR matrix, shape (N, G)."""

Kind = Literal["counts", "linear", "log", "scaled"]
Normalization = Literal["auto", "log_cpm", "none"]
TargetSum = float | Literal["median"]
Applied = Literal["log_cpm", "none"]

LARGEST_LOG = 25.0  # log1p of 7e10; no count per million reaches it
TARGET_SUM = 1e6
SAME_SCALE = 0.01  # libraries that differ by less were scaled to one sum
ROWS = 50_000  # cells summed at a time
CHUNK = 4_000_000  # values looked at a time, so that checks cost little memory
MEANING = {
    "counts": "raw counts (whole numbers, 0 or more)",
    "linear": "expression that is not in log units (0 or more), such as expected counts",
    "log": "log-normalised expression (0 or more, not whole numbers)",
    "scaled": "scaled expression (negative values, such as z-scores)",
}


def check_expression(matrix: Matrix, name: str = "the matrix") -> None:
    """Refuse a matrix, shape (N, G), that is empty or holds other than finite numbers."""
    if len(matrix.shape) != 2 or 0 in matrix.shape:
        raise ValueError(
            f"{name} has shape {tuple(matrix.shape)}; at least one cell and one gene are needed"
        )
    if not (np.issubdtype(matrix.dtype, np.number) or matrix.dtype == bool):
        raise ValueError(f"{name} holds {matrix.dtype} values; numbers are needed")
    for values in _chunks(matrix):
        finite = np.isfinite(values)
        if not finite.all():
            raise ValueError(
                f"{name} holds {values[~finite][0]}; every value must be finite:"
                " remove or fill such cells or genes"
            )


def check_counts(matrix: Matrix, name: str = "the counts") -> None:
    """Refuse a matrix, shape (N, G), that is empty or holds a value that is not a count."""
    check_expression(matrix, name)
    for values in _chunks(matrix):
        if values.min() < 0:
            raise ValueError(f"{name} holds {values.min():g}; counts must be 0 or more")
        broken = values != np.floor(values)
        if broken.any():
            raise ValueError(
                f"{name} holds {values[broken][0]:g}; counts must be whole numbers:"
                " name the layer of raw counts, or round expected counts first"
            )


def check_of_kind(matrix: Matrix, kind: Kind, name: str) -> None:
    """Refuse values that the cells looked at before, of this kind, gave no sign of."""
    values = matrix.data if sparse.issparse(matrix) else matrix
    if not values.size:
        return
    low, high = values.min(), values.max()  # NaN if one is
    if not (np.isfinite(low) and np.isfinite(high)):
        check_expression(matrix, name)
    unlike = low < 0 and kind != "scaled"
    if unlike or (kind == "counts" and not (values == np.floor(values)).all()):
        raise ValueError(
            f"{name} holds {MEANING[kind]} in the cells that were looked at first, but"
            f" {low if unlike else values[values != np.floor(values)][0]:g} in others: make them"
            " alike, or name another matrix: data.layer=NAME"
        )


class Extent(NamedTuple):
    """The extremes of a matrix or of a part of it, which tell its kind.

    The values that a sparse matrix leaves out count as 0.
    """

    smallest: float
    largest: float
    whole: bool  # all values are whole numbers

    def joined(self, other: Extent) -> Extent:
        """Return the extent of both parts together."""
        low, high = min(self.smallest, other.smallest), max(self.largest, other.largest)
        return Extent(low, high, self.whole and other.whole)

    @property
    def kind(self) -> Kind:
        """Negative: `scaled`; or all whole: `counts`; or none above 25: `log`; or `linear`."""
        if self.smallest < 0:
            return "scaled"
        if self.whole:
            return "counts"
        return "log" if self.largest <= LARGEST_LOG else "linear"


def extent_of(matrix: Matrix) -> Extent:
    """Measure a matrix of finite expression, shape (N, G)."""
    parts = (
        Extent(float(v.min()), float(v.max()), bool((v == np.floor(v)).all()))
        for v in _chunks(matrix)
    )
    return reduce(Extent.joined, parts)


def library_sizes(matrix: Matrix) -> NDArray[np.float64]:
    """Sum of each cell over all genes, shape (N,), in the unit of the matrix."""
    if not sparse.issparse(matrix):
        return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    matrix = matrix.tocsr()
    sums = np.zeros(matrix.shape[0])
    # by blocks: scipy makes a whole copy in float64
    for start in range(0, matrix.shape[0], ROWS):
        begin = matrix.indptr[start : start + ROWS + 1]
        filled = np.flatnonzero(np.diff(begin))
        if len(filled):
            values = matrix.data[begin[0] : begin[-1]].astype(np.float64)
            sums[start + filled] = np.add.reduceat(values, begin[filled] - begin[0])
    return sums


def check_target_sum(target_sum: TargetSum) -> TargetSum:
    """Return a sum of libraries, `median` or as a float; refuse what is not a positive number."""
    if target_sum == "median":
        return "median"
    if isinstance(target_sum, str) or not 0 < target_sum < np.inf:
        raise ValueError(f"target_sum is {target_sum!r}; it must be a positive number, as 1e6")
    return float(target_sum)


def log_cpm(
    matrix: Matrix, library: NDArray[np.float64] | None = None, target_sum: float = TARGET_SUM
) -> Matrix:
    """Make log-CPM, log(1 + target_sum * x / library), natural log.

    Args:
        matrix: Counts or linear expression, shape (N, G), 0 or more.
        library: Library sizes, shape (N,); None: the sums over the genes given. Where only some
            genes are kept, pass the sums over all genes. A cell without counts stays 0.
        target_sum: Sum of each library after scaling: 1e6 for counts per million.

    Returns:
        A new matrix of shape (N, G), float32, CSR where `matrix` is.
    """
    check_target_sum(target_sum)
    library = library_sizes(matrix) if library is None else library
    factor = np.divide(target_sum, library, out=np.zeros_like(library), where=library > 0)
    factor = factor.astype(np.float32)
    if not sparse.issparse(matrix):
        scaled = np.asarray(matrix, dtype=np.float32) * factor[:, None]
        return np.log1p(scaled, out=scaled)
    matrix = canonical(matrix)
    values = np.repeat(factor, np.diff(matrix.indptr))
    values *= matrix.data
    np.log1p(values, out=values)
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def canonical(matrix: Matrix) -> sparse.csr_matrix:
    """A sparse matrix as CSR with one entry a place; the source is not changed."""
    matrix = sparse.csr_matrix(matrix)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def median_library(libraries: NDArray[np.float64], name: str) -> float:
    """Return the median library of the cells that have counts.

    With it a typical cell's counts keep their size, so log(1 + x) is nearly linear where counts are
    0 or 1, and the noise of log values is alike whatever the depth of the data.
    """
    counted = libraries[libraries > 0]
    if not len(counted):
        raise ValueError(
            f"every training cell of {name} is empty; name another matrix: data.layer=NAME"
        )
    return float(np.median(counted))


def normalised(matrix: Matrix, kind: Kind, applied: Applied, target_sum: float | None) -> Matrix:
    """Return the matrix itself, or log-CPM of it; of log data the log is undone first."""
    if applied == "none":
        return matrix
    assert target_sum is not None
    if kind == "log":
        matrix = matrix.expm1() if sparse.issparse(matrix) else np.expm1(matrix)
    return log_cpm(matrix, target_sum=target_sum)


def to_apply(
    kind: Kind,
    normalize: Normalization,
    name: str = "the matrix",
    scale: float | None = None,
    target_sum: float = TARGET_SUM,
) -> Applied:
    """Decide how a matrix of this kind is normalised, and log the decision.

    Args:
        normalize: `auto` normalises counts, linear expression and log data of another scale, and
            leaves the rest as it is.
        scale: Of log expression, see `common_scale`.
    """
    if normalize == "log_cpm" and kind == "scaled":
        raise ValueError(
            f"normalize is log_cpm but {name} holds {MEANING[kind]}; name the layer of raw counts,"
            " or use normalize=auto"
        )
    found = f"{name} holds {MEANING[kind]}"
    if kind == "log":
        return _of_log(found, normalize, scale, target_sum)
    if normalize == "none" and kind in ("counts", "linear"):
        warn(f"{found}, and normalize=none leaves it so; models expect log-CPM")
    elif kind == "scaled":
        warn(f"{found}; it is left as it is, while models expect log data")
    if normalize == "log_cpm" or (normalize == "auto" and kind in ("counts", "linear")):
        inform(f"{found}; log(1 + {target_sum:g} x / library) is made of it")
        return "log_cpm"
    return "none"


def _of_log(
    found: str, normalize: Normalization, scale: float | None, target_sum: float
) -> Applied:
    """Decide on log expression, whose libraries may have been scaled to another sum, and log it."""
    if normalize == "log_cpm" and scale is None:
        told = "whose libraries have no sum in common, as after genes were left out; the genes that"
        warn(f"{found}, {told} are left are scaled to {target_sum:g}")
        return "log_cpm"
    differs = scale is not None and abs(scale / target_sum - 1) > SAME_SCALE
    if normalize == "log_cpm" or (normalize == "auto" and differs):
        inform(f"{found} of {scale:g}; it is made that of {target_sum:g}")
        return "log_cpm"
    inform(f"{found}{f' of {scale:g}' if differs else ''}; it is left as it is")
    return "none"


def _chunks(matrix: Matrix) -> Iterator[NDArray[Any]]:
    """Yield the stored values, flat; a 0 for the entries that a sparse matrix does not store."""
    if sparse.issparse(matrix):
        values = matrix.data
        yield np.zeros(1, dtype=matrix.dtype)
        for start in range(0, len(values), CHUNK):
            yield values[start : start + CHUNK]
        return
    rows = max(1, CHUNK // matrix.shape[1])
    for start in range(0, len(matrix), rows):
        yield np.asarray(matrix[start : start + rows]).ravel()
