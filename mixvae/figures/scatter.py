"""Where the samples lie in the space of states."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import COLOURS, MARKERS, new_figure, tidy

MAX_POINTS = 5000
MAX_IN_LEGEND = 30


class _Plane(NamedTuple):
    points: NDArray[np.float64]
    x: str
    y: str


def _plane(state: NDArray[np.floating[Any]]) -> _Plane:
    """Find two coordinates to show, shape (N, 2), and what they are."""
    points = np.asarray(state, dtype=np.float64)
    if points.shape[1] == 1:
        # One state: spread the samples by their rank in the data, which means nothing.
        order = np.linspace(0, 1, len(points))[:, None]
        return _Plane(np.hstack([points, order]), "state 0", "order in the data")
    if points.shape[1] == 2:
        return _Plane(points, "state 0", "state 1")
    centred = points - points.mean(axis=0)
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    share = scale**2 / max(float((scale**2).sum()), 1e-12)
    # The sign of a principal axis is arbitrary: fix it, so that the same data look the same.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    names = [f"principal axis {i} of the states ({share[i]:.0%} of the variance)" for i in (0, 1)]
    return _Plane(centred @ axes[:2].T, names[0], names[1])


def state_scatter(
    state: NDArray[np.floating[Any]],
    category: NDArray[np.integer[Any]],
    num_categories: int,
    agent: int = 0,
) -> Figure:
    """Draw the mean states of samples in the plane, coloured by category.

    With more than two dimensions these are the first two principal axes. At most 5,000 samples
    are drawn, evenly spaced over the data.

    Args:
        state: Mean states, shape (N, S), S at least 1.
        category: Category of each sample, shape (N,).
        num_categories: Number of categories K; colour and marker belong to the number.
        agent: Number of the agent whose states they are.

    Returns:
        A figure with one set of points for each category that holds a sample.

    Raises:
        ValueError: If there is no state dimension.
    """
    if state.shape[1] == 0:
        raise ValueError("no state to draw: the model has state_dim 0")
    figure = new_figure(7.2, 5.4)
    axes = figure.add_subplot()
    plane = _plane(state)
    every = int(np.ceil(len(state) / MAX_POINTS))
    points, shown = plane.points[::every], category[::every]
    for k in range(num_categories):
        members = points[shown == k]
        if len(members) == 0:
            continue
        axes.scatter(
            members[:, 0],
            members[:, 1],
            s=14,
            alpha=0.6,
            linewidths=0,
            color=COLOURS[k % len(COLOURS)],
            marker=MARKERS[k // len(COLOURS) % len(MARKERS)],
            label=str(k),
        )
    tidy(
        axes,
        f"States of the samples by agent {agent}, coloured by consensus category",
        x=plane.x,
        y=plane.y,
    )
    if len(axes.collections) <= MAX_IN_LEGEND:
        axes.legend(
            title="category",
            title_fontsize=8,
            fontsize=8,
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            ncols=1 + len(axes.collections) // 16,
        )
    return figure
