"""Coherence: the share of samples whose class survives decoding into another modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.evaluation.probe import Classifier, Labelled

Decode = Callable[[NDArray[np.floating[Any]], int], NDArray[np.floating[Any]]]
"""Samples of a modality, (N, *shape_n), decoded from latents (N, L) and its number n."""


def coherence_matrix(
    latents: Sequence[Labelled], decode: Decode, classifiers: Sequence[Classifier]
) -> NDArray[np.float64]:
    """Decode each modality from the latents of each, and classify the result.

    Args:
        latents: Posterior means of the samples of each modality with their classes, length M.
        classifiers: For each modality, a classifier trained on its real data, length M.

    Returns:
        Share of the samples of m whose class is found after decoding z_m into n, as [m, n],
        shape (M, M); NaN where m has no labelled sample.
    """
    count = len(latents)
    matrix = np.full((count, count), np.nan)
    for m, points in enumerate(latents):
        if len(points.label) == 0:
            continue
        for n, classify in enumerate(classifiers):
            matrix[m, n] = (classify(decode(points.x, n)) == points.label).mean()
    return matrix


def mean_coherence(matrix: NDArray[np.floating[Any]]) -> float:
    """Mean over pairs of different modalities; NaN if there are none."""
    others = matrix[~np.eye(len(matrix), dtype=bool)]
    others = others[~np.isnan(others)]
    return float(others.mean()) if others.size else float("nan")
