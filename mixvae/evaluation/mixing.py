"""How well the batches of samples mix: the LISI, and the composition of each category."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.contracts import UNKNOWN_LABEL

NUM_BISECTIONS = 50
ONE_BATCH = 0.95  # share of a category's samples that makes it a category of one batch
FEWEST = 10  # samples of a category that tell so


def lisi(
    points: NDArray[np.floating[Any]], groups: NDArray[np.int64], perplexity: float = 30
) -> NDArray[np.float64]:
    """Effective number of groups around each point, from 1 to the number of groups, shape (N,).

    The inverse Simpson index of the groups of the nearest 3 x `perplexity` points, whose weights
    fall exponentially with the distance, at the rate that gives them that perplexity.

    Args:
        points: Shape (N, C), N at least 2.
        groups: Numbers of the groups from 0, shape (N,).

    Source:
        Korsunsky et al. 2019 (Harmony); of batches it is the iLISI of Luecken et al. 2022.
    """
    count = min(int(3 * perplexity), len(points) - 1)
    perplexity = min(perplexity, count / 3)
    from sklearn.neighbors import NearestNeighbors  # slow to import

    distance, near = NearestNeighbors(n_neighbors=count + 1).fit(points).kneighbors(points)
    excess = distance[:, 1:] - distance[:, 1:2]
    low, high = np.zeros(len(points)), np.full(len(points), np.inf)
    precision = 1 / np.maximum(excess.mean(axis=1), 1e-12)
    for _ in range(NUM_BISECTIONS):
        weight = np.exp(-precision[:, None] * excess)
        total = weight.sum(axis=1)
        entropy = np.log(total) + precision * (excess * weight).sum(axis=1) / total
        wide = entropy > np.log(max(perplexity, 1.0))
        low, high = np.where(wide, precision, low), np.where(wide, high, precision)
        middle = np.where(np.isinf(high), 2 * precision, (low + np.minimum(high, 1e100)) / 2)
        precision = np.minimum(middle, 1e100)
    weight /= total[:, None]
    member = groups[near[:, 1:]]
    shares = [(weight * (member == group)).sum(axis=1) for group in np.unique(groups)]
    simpson: NDArray[np.float64] = 1 / np.square(shares).sum(axis=0)
    return simpson


def composition(
    category: NDArray[np.int64], batch: NDArray[np.int64], num_batches: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Categories in use, shape (G,), and their samples of each batch, shape (G, B)."""
    used = np.unique(category)
    counts = np.stack([np.bincount(batch[category == k], minlength=num_batches) for k in used])
    return used, counts


def of_one_batch(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Rows of `composition` that are of one batch, and which, while others have samples too."""
    share = counts.sum(axis=0) / counts.sum()
    found = []
    for row, count in enumerate(counts):
        most = int(count.argmax())
        alone = count[most] > ONE_BATCH * count.sum() and share[most] < ONE_BATCH
        if alone and count.sum() >= FEWEST:
            found.append((row, most))
    return found


def label_agreement(
    points: NDArray[np.floating[Any]], label: NDArray[np.int64], seed: int = 0
) -> float | None:
    """ARI of the labels with k-means of as many clusters on points, (N, C); None without labels."""
    known = label != UNKNOWN_LABEL
    count = len(np.unique(label[known]))
    if count < 2:
        return None
    # Slow to import.
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    clusters = KMeans(count, n_init=5, random_state=seed).fit_predict(points[known])
    return float(adjusted_rand_score(label[known], clusters))
