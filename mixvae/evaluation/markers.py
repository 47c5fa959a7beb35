"""Marker genes of categories."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Markers(NamedTuple):
    """Genes that set categories apart from the other cells.

    Attributes:
        order: Genes of each category, the strongest first, shape (J, D), int64.
        score: Welch's t of its cells against all others, shape (J, D).
        mean: Mean expression in the category, shape (J, D).
        share: Share of its cells with expression above 0, shape (J, D).
    """

    order: NDArray[np.int64]
    score: NDArray[np.float64]
    mean: NDArray[np.float64]
    share: NDArray[np.float64]


def find_markers(
    x: NDArray[Any], category: NDArray[np.integer[Any]], categories: NDArray[np.integer[Any]]
) -> Markers:
    """Rank genes for each category by Welch's t, as scanpy's `rank_genes_groups` does by default.

    Args:
        x: Log-normalised expression, shape (N, D).
        category: Category of each cell, shape (N,).
        categories: Those to rank for, shape (J,); each has a cell.
    """
    x = np.asarray(x, dtype=np.float64)
    score, mean, share = np.zeros((3, len(categories), x.shape[1]))
    for j, k in enumerate(categories):
        own, rest = x[category == k], x[category != k]
        mean[j], share[j] = own.mean(axis=0), (own > 0).mean(axis=0)
        if len(rest) == 0 or len(own) < 2:
            continue
        error = own.var(axis=0, ddof=1) / len(own) + rest.var(axis=0) / len(rest)
        difference = mean[j] - rest.mean(axis=0)
        # a gene without variance on either side would divide by 0
        score[j] = difference / np.sqrt(np.maximum(error, 1e-12))
    order = np.argsort(-score, axis=1, kind="stable").astype(np.int64)
    return Markers(order, score, mean, share)
