"""The samples in the space of states."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.plane import find_plane
from mixvae.figures.style import legend_beside, look, new_figure, tidy

MAX_POINTS = 5000
MAX_IN_LEGEND = 30


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
        num_categories: Number of categories K; each number has a fixed colour and marker.
    """
    if state.shape[1] == 0:
        raise ValueError("no state to draw: the model has state_dim 0")
    figure = new_figure(7.2, 5.4)
    axes = figure.add_subplot()
    plane = find_plane(state, "state")
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
            label=str(k),
            **look(k),
        )
    tidy(
        axes,
        f"States of the samples by agent {agent}, coloured by consensus category",
        x=plane.x,
        y=plane.y,
    )
    if len(axes.collections) <= MAX_IN_LEGEND:
        columns = 1 + len(axes.collections) // 16
        legend_beside(axes, title="category", title_fontsize=8, ncols=columns)
    return figure
