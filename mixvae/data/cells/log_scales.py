"""Expression that is not whole numbers: counts, scaled or not, or their logarithms or roots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.cells.expression import (
    LARGEST_LOG,
    SAME_SCALE,
    Kind,
    Matrix,
    extent_of,
    library_sizes,
    median_library,
)
from mixvae.messages import warn
from mixvae.spacing import spaced

Undo = Callable[[Any], Any]

COMMON_PARTS = 4  # fractional parts that half of all expected counts have, such as 0 and .5
LOOKED_AT = 200  # cells
FEWEST_RATIOS = 8
LARGEST_RATIO = 50  # beyond it, every ratio is close to some whole number
LN, LINEAR, ROOT = "log(1 + x)", "x", "the square root"
PER_TEN_THOUSAND = 1e4  # scanpy's unit, where nothing tells the counts of a cell
PERCENT = 100.0  # shares that sum up to this or less are no unit to take logarithms in
FORMS: dict[str, Undo] = {
    LINEAR: np.asarray,
    LN: np.expm1,
    "log2(1 + x)": lambda values: np.exp2(values) - 1,
    "log10(1 + x)": lambda values: 10.0**values - 1,
    ROOT: np.square,
}
# What makes them expression that models expect.
REMEDIES = {
    "log2(1 + x)": "multiply it by np.log(2)",
    "log10(1 + x)": "multiply it by np.log(10)",
    ROOT: "square it",
}


def common_scale(matrix: Matrix, form: str = LN) -> float | None:
    """Find the sum that libraries were scaled to before a form was taken, in evenly spread cells.

    None where the cells have none in common, such as after genes were selected.
    """
    libraries = library_sizes(FORMS[form](_rows(matrix)))
    libraries = libraries[libraries > 0]
    # The values of a single cell tell whether they are logarithms, not whether they were scaled.
    if len(libraries) < 1 + (form != LN) or np.ptp(libraries) > SAME_SCALE * libraries.mean():
        return None
    return float(np.median(libraries))


def form_of(matrix: Matrix) -> str | None:
    """Find the form that counts, scaled or not, were brought into; None where nothing tells.

    Undone, it leaves each cell with multiples of its smallest value, which is that of one count.
    """
    values = _rows(matrix)
    for form, undo in _possible(values).items():
        counts = undo(values)
        least = _least(counts, values)[:, None]
        ratio = (counts / least)[values > 0]
        ratio = ratio[(ratio > 1.01) & (ratio < LARGEST_RATIO)]
        close = np.abs(ratio - np.round(ratio)) < 1e-3 * ratio
        if len(ratio) >= FEWEST_RATIOS and close.mean() >= 0.9:
            return form
    return None


def median_sum(matrix: Matrix, rows: NDArray[np.int64], kind: Kind, name: str) -> float:
    """Find the median library of training cells, in counts; 10,000 where nothing tells it.

    Of cells that were scaled to one sum, log data or not, a count is the smallest value of a cell.
    """
    form = LN if kind == "log" else LINEAR
    part = matrix[rows[spaced(len(rows), LOOKED_AT)]]
    scale = None if kind in ("counts", "scaled") else common_scale(part, form)
    if scale is None:
        counted = kind in ("counts", "linear")
        return median_library(library_sizes(matrix)[rows], name) if counted else PER_TEN_THOUSAND
    if form_of(part) != form:
        return scale if PERCENT < scale < PER_TEN_THOUSAND else PER_TEN_THOUSAND
    values = _rows(part)
    return float(np.median(scale / _least(FORMS[form](values), values)))


def is_linear(matrix: Matrix) -> bool:
    """Whether small values that are not whole are counts, scaled or expected, and not log data.

    Expected counts, as of RSEM or alevin, share few fractional parts.
    """
    if (form := form_of(matrix)) is not None:
        return form == LINEAR
    if common_scale(matrix, LINEAR) is not None:
        return common_scale(matrix) is None  # two cells may have equal sums of logarithms by chance
    values = _rows(matrix)
    present = values[values > 0]
    if len(values) <= 2 * COMMON_PARTS:  # in few cells, logarithms of small counts are common too
        present = np.unique(present)
    _, count = np.unique(np.round(present % 1, 3), return_counts=True)
    shared = np.sort(count[count > 1])[-COMMON_PARTS:].sum()
    return bool(len(present) and shared >= 0.5 * len(present))


def are_expected_counts(counts: Matrix, whole: Matrix, name: str) -> bool:
    """Whether values are expected counts, which need not be whole; scaled ones are refused.

    Args:
        counts: Those of the genes that are used, shape (N, G).
        whole: Those of all genes, shape (N, G').
    """
    kind = extent_of(counts).kind
    if kind != "linear" and not (kind == "log" and is_linear(counts)):
        return False
    if (total := common_scale(whole, LINEAR)) is not None:
        raise ValueError(
            f"{name} holds counts that were scaled to {total:g} per cell; likelihoods of counts"
            " need raw ones: name their layer, data.counts_layer=NAME"
        )
    return True


def warn_of_form(matrix: Matrix, name: str) -> None:
    """Warn of log expression to the base 2 or 10, or of roots, taken for the natural logarithm."""
    told = form_of(matrix)
    possible = _possible(_rows(matrix))
    for form, remedy in REMEDIES.items():
        if form not in possible:
            continue
        if form == told or (told is None and common_scale(matrix, form) is not None):
            warn(
                f"{name} is {form} of counts, but natural logarithms are expected: {remedy}, or"
                " name the raw counts: data.layer=NAME"
            )
            return


def _possible(values: NDArray[np.float64]) -> dict[str, Undo]:
    """The forms that such values may have; no logarithm is as large as counts are."""
    large = bool(values.max() > LARGEST_LOG)
    return {form: undo for form, undo in FORMS.items() if not large or form in (LINEAR, ROOT)}


def _least(counts: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest count of each cell, of the values that are not 0; infinite without one."""
    least: NDArray[np.float64] = np.where(values > 0, counts, np.inf).min(axis=1)
    return least


def _rows(matrix: Matrix) -> NDArray[np.float64]:
    """Evenly spread cells."""
    part = matrix[spaced(matrix.shape[0], LOOKED_AT)]
    values: NDArray[np.float64] = np.asarray(
        part.toarray() if hasattr(part, "toarray") else part, dtype=np.float64
    )
    return values
