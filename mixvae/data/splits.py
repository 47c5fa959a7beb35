"""Seeded, disjoint splits of row numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixvae.data.checks import check_fraction, check_seed


def split_indices(num_samples: int, fractions: Sequence[float], seed: int) -> tuple[Tensor, ...]:
    """Split the rows 0..num_samples-1 at random into parts that share no row.

    The split is a function of the arguments only.

    Args:
        num_samples: Number of rows N.
        fractions: Share of the rows that each part but the last one takes, each in (0, 1); the
            last part is what remains. Sizes are rounded to the nearest count.

    Returns:
        `len(fractions) + 1` sorted row numbers, each int64, together N long.
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


def stratified_indices(
    classes: NDArray[np.int64],
    class_names: Sequence[str],
    fraction: float,
    seed: int,
    least: int = 2,
) -> tuple[Tensor, Tensor]:
    """Split the rows 0..N-1 in two, with the same share of every class and one row of it at least.

    Args:
        classes: Class of each row, shape (N,); a negative number marks rows without one, which are
            shared out like a class but may be few.
        fraction: Share of each class in the first part, in (0, 1), rounded to the nearest count.

    Returns:
        Sorted row numbers of the first part and of the rest, each int64, together N long.
    """
    check_seed(seed)
    check_fraction("a split's fraction", fraction)
    random = np.random.default_rng(seed)
    first = np.zeros(len(classes), dtype=bool)
    for number in np.unique(classes):
        rows = random.permutation(np.flatnonzero(classes == number))
        if number >= 0 and len(rows) < least:
            if len(class_names) == 1:
                raise ValueError(f"{len(rows)} samples are too few to split; {least} are needed")
            raise ValueError(
                f"class {class_names[number]!r} has {len(rows)} of {len(classes)} samples; each"
                f" needs at least {least} to be shared out over the splits: merge or remove it,"
                " or set data.stratify=false"
            )
        size = round(fraction * len(rows))
        if number >= 0:
            size = min(max(size, 1), len(rows) - 1)
        first[rows[:size]] = True
    return torch.from_numpy(np.flatnonzero(first)), torch.from_numpy(np.flatnonzero(~first))
