"""The grid of factors that dSprites' images are made of, and subsets of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FACTOR_SIZES = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
"""The factors in the order of the official file, the last one changing fastest. Its first factor,
the colour, has one value and is left out."""
SHAPES = ("square", "ellipse", "heart")

Subset = Mapping[str, int | Sequence[int]]
"""For each factor either n, which keeps every n-th value, or the values to keep, from 0."""


class Grid(NamedTuple):
    """The images that a subset keeps.

    Attributes:
        values: The kept values of each factor, from 0 in the whole grid, ascending.
        rows: Row of each image in the whole grid, shape (N,), int64, ascending.
        factors: Number of each image's value among the kept ones, shape (N, F), int64.
    """

    values: tuple[tuple[int, ...], ...]
    rows: NDArray[np.int64]
    factors: NDArray[np.int64]


def kept_values(subset: Subset) -> tuple[tuple[int, ...], ...]:
    """The values that a subset keeps of each factor; of one that it does not name, all.

    Args:
        subset: What to keep.

    Returns:
        The values of each factor, ascending.

    Raises:
        ValueError: If a factor does not exist, a number makes no sense, or nothing is left.
    """
    for name in subset:
        check_factor("subset", name)
    return tuple(_kept(name, size, subset.get(name, 1)) for name, size in FACTOR_SIZES.items())


def check_factor(setting: str, name: str) -> None:
    """Refuse a factor that dSprites does not have.

    Raises:
        ValueError: Naming those that there are.
    """
    if name not in FACTOR_SIZES:
        raise ValueError(
            f"{setting} names the factor {name!r}, which dSprites does not have;"
            f" its factors are {', '.join(FACTOR_SIZES)}"
        )


def grid(values: Sequence[Sequence[int]]) -> Grid:
    """Every combination of the kept values.

    Args:
        values: The kept values of each factor, see `kept_values`.

    Returns:
        The images in the order of the whole grid.
    """
    sizes = [len(kept) for kept in values]
    factors = np.indices(sizes).reshape(len(sizes), -1).T
    whole = [np.asarray(kept)[factors[:, i]] for i, kept in enumerate(values)]
    rows = np.ravel_multi_index(whole, tuple(FACTOR_SIZES.values()))
    return Grid(
        tuple(tuple(kept) for kept in values), rows.astype(np.int64), factors.astype(np.int64)
    )


def _kept(name: str, size: int, choice: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(choice, int) and not isinstance(choice, bool):
        if choice < 1:
            raise ValueError(
                f"subset.{name} is {choice}; it must be 1 or more, to keep every so many-th value"
            )
        return tuple(range(0, size, choice))
    if isinstance(choice, str | bool) or not isinstance(choice, Sequence):
        raise ValueError(
            f"subset.{name} is {choice!r}; it must be a whole number n, which keeps every n-th"
            " value, or a list of the values to keep"
        )
    if not choice:
        raise ValueError(
            f"subset.{name} is empty, so the subset leaves no image; list at least one of the"
            f" values 0..{size - 1}, or give 1 for all"
        )
    for value in choice:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size:
            raise ValueError(
                f"subset.{name} holds {value!r}; the values of {name} are 0..{size - 1}"
            )
    return tuple(sorted(set(choice)))
