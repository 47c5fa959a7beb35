"""Rows evenly spread over data, which may be sorted by class or in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spaced(total: int, count: int | None) -> NDArray[np.int64]:
    """Numbers of at most `count` of `total` rows, ascending, from the first to the last; None: all.

    Returns:
        Shape (min(total, count),).
    """
    size = total if count is None else min(total, count)
    return np.linspace(0, total - 1, size).round().astype(np.int64)
