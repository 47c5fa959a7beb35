"""Is the categorical posterior in use? The failure that users lose days to, named early."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

FLAT_FRACTION = 0.9
POPULATED_FRACTION = 0.5
POPULATED_SHARE = 0.01


def count_populated(occupancy: ArrayLike, share: float = POPULATED_SHARE) -> int:
    """Count the categories that hold at least one sample and at least a share of an even split.

    The share keeps a stray sample among thousands from populating a category; relative to the
    even split 1/K it asks the same of few and of many categories.

    Args:
        occupancy: Number of samples in each category, shape (K,).
        share: Least share of the even split of all samples over K categories.

    Returns:
        Number of populated categories, 0 to K.
    """
    counts = np.asarray(occupancy)
    least = max(1.0, share * counts.sum() / counts.size)
    return int((counts >= least).sum())


def diagnose_collapse(
    entropy: float,
    populated: int,
    num_categories: int,
    reconstruction: tuple[float, float] | None = None,
) -> str | None:
    """Say in one sentence that the categorical posterior has collapsed, and the likely cause.

    Flat: the mean entropy is at least nine tenths of log K, so the categories say nothing of the
    sample. Nearly empty: fewer than half of the categories are populated, or only one.

    Args:
        entropy: Mean entropy of q(c|x), nats.
        populated: Number of populated categories, see `count_populated`.
        num_categories: Number of categories K in use.
        reconstruction: Reconstruction at the first epoch and now, nats; names whether the states
            do the categories' work.

    Returns:
        The sentence, or None for a healthy posterior.

    Source:
        Ours; K = 120 with too large a tau silently left MMIDAS 11 populated categories.
    """
    limit = math.log(num_categories)
    flat = entropy >= FLAT_FRACTION * limit
    # A single category is a collapse even where it is half of two.
    empty = populated < max(2.0, POPULATED_FRACTION * num_categories)
    if not flat and not empty:
        return None
    reasons = []
    if flat:
        reasons.append(
            f"q(c|x) is nearly flat (mean entropy {entropy:.2f} of at most {limit:.2f} nats)"
        )
    if empty:
        reasons.append(f"only {populated} of {num_categories} categories are populated")
    if reconstruction is not None and reconstruction[1] < reconstruction[0]:
        reasons.append(
            f"the reconstruction improves all the same ({reconstruction[0]:.1f} to"
            f" {reconstruction[1]:.1f} nats)"
        )
    return f"{', and '.join(reasons)}; likely cause: {_likely_cause(flat, reconstruction)}"


def _likely_cause(flat: bool, reconstruction: tuple[float, float] | None) -> str:
    states_suffice = reconstruction is not None and reconstruction[1] < reconstruction[0]
    if flat and states_suffice:
        return "tau too large, or beta or the coupling's weight so small that the state carries all"
    if flat:
        return "tau too large, or the coupling outweighs the reconstruction"
    return "tau too large, or the coupling too strong before the agents found their categories"
