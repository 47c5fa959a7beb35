"""Log expression: the sum that libraries were scaled to before the log, and the log's base."""

from __future__ import annotations

import logging

import numpy as np

from mixvae.data.expression import SAME_SCALE, Matrix, library_sizes
from mixvae.spacing import spaced

_logger = logging.getLogger("mixvae")


def common_scale(matrix: Matrix, num_cells: int = 200, base: float = np.e) -> float | None:
    """Find the sum that libraries were scaled to before log(1 + x), in evenly spread cells.

    Args:
        base: Of the logarithm.

    Returns:
        The sum; None where the cells have none in common, such as after genes were selected.
    """
    rows = spaced(matrix.shape[0], num_cells)
    libraries = library_sizes(np.expm1(matrix[rows].astype(np.float64) * np.log(base)))
    libraries = libraries[libraries > 0]
    if len(libraries) < 2 or np.ptp(libraries) > SAME_SCALE * libraries.mean():
        return None
    return float(np.median(libraries))


def warn_of_base(matrix: Matrix, name: str) -> None:
    """Warn of log expression to the base 2 or 10, which would be taken for the natural one."""
    for base in (2.0, 10.0):
        if common_scale(matrix, base=base) is not None:
            _logger.warning(
                "%s is log%g(1 + x) of libraries of one sum, but natural logarithms are expected:"
                " multiply it by np.log(%g), or name the raw counts: data.layer=NAME",
                name,
                base,
                base,
            )
