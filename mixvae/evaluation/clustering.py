"""Agreement of categories with labels, from a contingency table of counts, shape (K, C).

Row k counts the samples in category k, by label class, so tables may be summed over batches and
ranks before they are scored. All raise ValueError for a table of other axes or without a sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment


def _as_counts(table: ArrayLike) -> NDArray[np.int64]:
    counts = np.asarray(table)
    if counts.ndim != 2:
        raise ValueError(
            f"a contingency table has two axes, categories and classes; got shape {counts.shape}"
        )
    if counts.sum() == 0:
        raise ValueError(
            f"the contingency table of shape {counts.shape} is empty; count a sample first"
        )
    return counts.astype(np.int64)


def match_classes(table: ArrayLike) -> NDArray[np.int64]:
    """Match each category to at most one class, so that most samples fall on matched pairs.

    Returns:
        Class of each category, shape (K,), -1 where K > C leaves a category without a class.

    Source:
        The Hungarian assignment, Kuhn 1955, in `scipy.optimize.linear_sum_assignment`.
    """
    counts = _as_counts(table)
    category, label = linear_sum_assignment(counts, maximize=True)
    matched = np.full(counts.shape[0], -1, dtype=np.int64)
    matched[category] = label
    return matched


def order_by_class(table: ArrayLike) -> NDArray[np.int64]:
    """Order the categories by their class, so that matched counts lie on the diagonal.

    Returns:
        Numbers of the categories, shape (K,): first those with a class, see `match_classes`, in
        the order of the classes; then those left over, the largest first.
    """
    counts = _as_counts(table)
    matched = match_classes(counts)
    rank = np.where(matched >= 0, matched, counts.shape[1])
    order: NDArray[np.int64] = np.lexsort((-counts.sum(axis=1), rank))
    return order


def clustering_accuracy(table: ArrayLike) -> float:
    """Share of samples whose category is matched to their class, under the best matching.

    The matching is one to one, also where K differs from C: with K > C the samples in the
    categories left over count as wrong, with K < C so do those of the classes left over. In [0, 1].
    """
    counts = _as_counts(table)
    matched = match_classes(counts)
    has_class = matched >= 0
    hits = counts[has_class, matched[has_class]].sum()
    return float(hits / counts.sum())


def entropy(counts: NDArray[np.int64]) -> float:
    """Entropy of the shares of counts, nats."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def normalised_mutual_information(table: ArrayLike) -> float:
    """Mutual information of categories and classes over the mean of their entropies.

    Returns:
        A value in [0, 1]; 0 where all samples share one category but not one class (or the
        reverse), 1 where they share both.

    Source:
        Strehl & Ghosh 2002, with the arithmetic mean, as scikit-learn's default.
    """
    counts = _as_counts(table)
    by_category, by_class = entropy(counts.sum(axis=1)), entropy(counts.sum(axis=0))
    if by_category == 0.0 and by_class == 0.0:
        return 1.0
    information = by_category + by_class - entropy(counts.ravel())
    return float(np.clip(2.0 * information / (by_category + by_class), 0.0, 1.0))


def adjusted_rand_index(table: ArrayLike) -> float:
    """Share of sample pairs on which categories and classes agree, corrected for chance.

    Returns:
        A value in [-0.5, 1]: 0 is what chance gives, 1 is perfect agreement.

    Source:
        Hubert & Arabie 1985.
    """
    counts = _as_counts(table)

    def pairs(sizes: NDArray[np.int64]) -> int:
        # Python integers: products of pair counts overflow 64 bits beyond some 10^5 samples.
        return int((sizes * (sizes - 1) // 2).sum())

    total = pairs(counts.sum(keepdims=True))
    together = pairs(counts)
    by_category, by_class = pairs(counts.sum(axis=1)), pairs(counts.sum(axis=0))
    # (together - expected) / (maximum - expected), each term multiplied by 2 * total.
    numerator = 2 * (together * total - by_category * by_class)
    denominator = (by_category + by_class) * total - 2 * by_category * by_class
    return numerator / denominator if denominator else 1.0
