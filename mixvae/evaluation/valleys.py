"""Valleys: how sparse samples are between two categories, and whether chance makes them so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS, POINTS = 256, 64  # of the density along an axis
SIGNIFICANT = 1.645
"""Standard errors that chance exceeds one time in twenty."""
Floats = NDArray[np.float64]


def valley(first: Floats, second: Floats) -> float:
    """How dense samples are between two categories: least density over the lower of both ends.

    Samples are projected to the categories' linear discriminant. The density is the sum of two
    kernel estimates, one a category and both of weight 1, between the categories' medians.

    Args:
        first: Samples of a category, shape (N, C), in standard deviations of noise: with few
            samples the covariance within categories is drawn to 1.
        second: Shape (M, C).

    Returns:
        In [0, 1]; about 1 for a cut through a Gaussian, 0 for categories far apart.

    Source:
        Ours: the heuristic of Ashman, Bird and Zepf 1994 (a dip between two peaks), along Fisher's
        discriminant.
    """
    density, _ = _between(first, second)
    return float(density.min() / min(density[0], density[-1]))


def significance(first: Floats, second: Floats) -> float:
    """How far the valley lies below the lower of both ends, in standard errors.

    The error is that of two independent kernel estimates, which is too large for places that share
    samples. Arguments as in `valley`.

    Returns:
        0 without a valley; above `SIGNIFICANT` where chance hardly makes one.

    Source:
        Ours; the variance of a kernel estimate is the textbook's (Silverman 1986, section 3.3).
    """
    density, variance = _between(first, second)
    low, end = density.argmin(), 0 if density[0] <= density[-1] else -1
    gap = density[end] - density[low]
    return float(gap / np.sqrt(variance[end] + variance[low])) if gap > 0 else 0.0


def _between(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """The density from median to median along the discriminant, and its variance; (`POINTS`,)."""
    means = first.mean(axis=0), second.mean(axis=0)
    size = first.shape[1]
    within = np.eye(size) * size
    for points, mean in zip((first, second), means, strict=True):
        within += (points - mean).T @ (points - mean)
    axis = np.linalg.solve(within, means[0] - means[1])
    one, two = first @ axis, second @ axis
    ends = np.median(one), np.median(two)
    if ends[0] == ends[1]:
        return np.ones(POINTS), np.zeros(POINTS)
    places = np.linspace(*ends, POINTS)
    (density, variance), (other, its_variance) = _density(one, places), _density(two, places)
    return density + other, variance + its_variance


def _density(values: Floats, places: Floats) -> tuple[Floats, Floats]:
    """Gaussian kernel estimate at places from a histogram, and its variance; Scott's bandwidth."""
    width = max(values.std() * len(values) ** -0.2, np.ptp(places) / BINS)
    counts, edges = np.histogram(values, BINS, (values.min() - width, values.max() + width))
    centres = (edges[1:] + edges[:-1]) / 2
    kernel = np.exp(-np.square((places[:, None] - centres) / width) / 2)
    number = len(values)
    density: Floats = kernel @ counts / (number * width)
    square = np.square(kernel) @ counts / (number * width**2)
    variance: Floats = (square - np.square(density)) / number
    return density, variance
