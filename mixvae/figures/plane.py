"""Two coordinates for drawing points of any number of dimensions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Plane(NamedTuple):
    """Points in the plane.

    Attributes:
        points: Coordinates, shape (N, 2).
    """

    points: NDArray[np.float64]
    x: str
    y: str


def find_plane(points: NDArray[np.floating[Any]], word: str) -> Plane:
    """Take both coordinates, or the first two principal axes of more than two.

    A single coordinate is drawn against the order in the data, which is arbitrary.

    Args:
        points: Points, shape (N, S), S at least 1.
        word: Name of a coordinate, such as `state`.
    """
    exact: NDArray[np.float64] = np.asarray(points, dtype=np.float64)
    if exact.shape[1] == 1:
        order = np.linspace(0, 1, len(exact))[:, None]
        return Plane(np.hstack([exact, order]), f"{word} 0", "order in the data")
    if exact.shape[1] == 2:
        return Plane(exact, f"{word} 0", f"{word} 1")
    centred = exact - exact.mean(axis=0)
    axes, share = principal_axes(centred)
    names = [f"principal axis {i} of the {word}s ({share[i]:.0%} of the variance)" for i in (0, 1)]
    return Plane(centred @ axes[:2].T, names[0], names[1])


def principal_axes(
    centred: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal axes of points of mean 0, shape (S, S), and their shares of the variance, (S,)."""
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    # The sign of a principal axis is arbitrary: fix it, so that the same data look the same.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    return axes, scale**2 / max(float((scale**2).sum()), 1e-12)
