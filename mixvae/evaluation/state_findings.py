"""Whether a state within a category is a finding: dead, bimodal or made by a handful of samples."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixvae.evaluation.valleys import SIGNIFICANT, significance, valley

Finding = Literal["", "dead", "bimodal", "few"]
STANDARD_ERRORS = 3.0
SEPARATION = 2.0
VALLEY = 0.5
EVIDENCE = 10.0
MEANING: dict[Finding, str] = {
    "dead": "carry nothing",
    "bimodal": "may be two types",
    "few": "are made by a handful of samples",
}


def gain_score(with_state: NDArray[Any], without: NDArray[Any], x: NDArray[Any]) -> float:
    """How surely a state improves the decoding of samples: mean gain over its standard error.

    The gain of a sample is the fall of its squared error when the decoder sees its own state in
    place of the category's mean.

    Args:
        with_state: Decoded samples, shape (N, D); `without` at the mean state.
        x: The samples.

    Returns:
        The score; 0 where no sample changes.
    """
    gain = (np.square(x - without) - np.square(x - with_state)).sum(axis=1, dtype=np.float64)
    error = gain.std() / np.sqrt(len(gain))
    return float(gain.mean() / error) if error > 0 else 0.0


def effective_number(values: NDArray[Any]) -> float:
    """How many samples make the variance of values, shape (N,): (sum d²)² / sum d⁴.

    It is N/3 for a Gaussian, and 2 where two samples lie apart from all others, which are equal.
    """
    square = np.square(np.asarray(values, dtype=np.float64) - np.mean(values))
    fourth = np.square(square).sum()
    return float(square.sum() ** 2 / fourth) if fourth > 0 else 0.0


def decoded_positions(
    values: NDArray[Any], grid: NDArray[Any], decoded: NDArray[Any]
) -> NDArray[np.float64]:
    """Positions of states along the path that the decoder draws, in the unit of the data.

    The scale of a state is arbitrary: an encoder that saturates crowds a gradient at its ends, as
    if there were two groups. Along the decoded path the gradient is even again.

    Args:
        values: States, shape (N,).
        grid: Rising states whose range holds `values`, shape (T,).
        decoded: Decoded samples at `grid`, shape (T, D).
    """
    steps = np.linalg.norm(np.diff(decoded.astype(np.float64), axis=0), axis=1)
    return np.interp(values, grid, np.append(0.0, steps.cumsum()))


def is_bimodal(values: NDArray[Any], min_samples: int = 10) -> bool:
    """Whether values, shape (N,), are two groups of at least `min_samples` each.

    Two Gaussians must fit better than one by a Bayesian information criterion of 10, lie apart by
    Ashman's D of 2, and leave a valley of at most half the lower peak, which chance hardly makes.
    The valley is that of the samples: two Gaussians fitted to an even gradient have one as well.

    Source:
        Ashman, Bird and Zepf 1994 (D > 2: two groups are clearly separated); Kass and Raftery 1995
        (a difference of 10: very strong evidence).
    """
    from sklearn.mixture import GaussianMixture

    points = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    if len(points) < 2 * min_samples or points.std() == 0:
        return False
    points = (points - points.mean()) / points.std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that has not converged
        one, two = (GaussianMixture(n, random_state=0, n_init=3).fit(points) for n in (1, 2))
    if one.bic(points) - two.bic(points) < EVIDENCE:
        return False
    group = two.predict(points)
    if np.bincount(group, minlength=2).min() < min_samples:
        return False
    mean, variance = two.means_.ravel(), two.covariances_.ravel()
    if abs(mean[0] - mean[1]) * np.sqrt(2 / variance.sum()) < SEPARATION:
        return False
    groups = points[group == 0], points[group == 1]
    return valley(*groups) <= VALLEY and significance(*groups) > SIGNIFICANT


def judge_state(
    values: NDArray[Any],
    score: float | None,
    min_samples: int = 10,
    positions: NDArray[Any] | None = None,
) -> Finding:
    """Judge one state dimension of the samples of a category.

    `few`: its variance comes from fewer samples than half of what a Gaussian has, and than
    `min_samples`. `dead`: the samples are not decoded better with it by three standard errors, or
    by one where the state is of `few`. `bimodal`: see `is_bimodal`, of `positions`.

    Args:
        values: Mean states, shape (N,).
        score: See `gain_score`; None if unknown.
        positions: See `decoded_positions`; None: `values`.
    """
    few = effective_number(values) < min(min_samples, len(values) / 6)
    # k samples that alone gain reach a score of at most the root of k
    if score is not None and score < (1.0 if few else STANDARD_ERRORS):
        return "dead"
    if few:
        return "few"
    return "bimodal" if is_bimodal(values if positions is None else positions, min_samples) else ""
