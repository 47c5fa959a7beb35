"""Seeded, disjoint splits of row numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixvae.data.checks import check_fraction, check_seed


def split_indices(num_samples: int, fractions: Sequence[float], seed: int) -> tuple[Tensor, ...]:
    """Split the rows 0..num_samples-1 at random into parts that share no row.

    Args:
        num_samples: Number of rows N.
        fractions: Share of the rows that each part but the last one takes, each in (0, 1); the
            last part is what remains. Sizes are rounded to the nearest count.
        seed: The split is a function of `num_samples`, `fractions` and this seed only.

    Returns:
        `len(fractions) + 1` sorted row numbers, each int64, together N long.

    Raises:
        ValueError: If the seed is negative, a fraction is outside (0, 1), or a part is empty.
    """
    check_seed(seed)
    for fraction in fractions:
        check_fraction("a split's fraction", fraction)
    sizes = [round(fraction * num_samples) for fraction in fractions]
    sizes.append(num_samples - sum(sizes))
    if min(sizes) < 1:
        raise ValueError(
            f"splitting {num_samples} samples by the fractions {list(fractions)} and the rest gives"
            f" parts of {sizes} samples; each part needs at least one:"
            " change the fractions, or use more samples"
        )
    order = torch.from_numpy(np.random.default_rng(seed).permutation(num_samples))
    return tuple(part.sort().values for part in torch.split(order, sizes))
