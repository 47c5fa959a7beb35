"""The samples of several modalities in latent space, coloured by label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.plane import find_plane
from mixvae.figures.style import look, new_figure, tidy, wrapped

MAX_POINTS = 3000
MAX_IN_LEGEND = 30
NAMES_BY_PANEL = 15  # of the legend that fit into the height of one panel
MAX_LETTERS = 34  # per line of a name above a panel


class LatentCloud(NamedTuple):
    """Posterior means to show in one panel.

    Attributes:
        mean: Posterior means, shape (N, L), L at least 1.
        label: Class of each, -1 where unknown, shape (N,).
    """

    name: str
    mean: NDArray[np.floating[Any]]
    label: NDArray[np.integer[Any]]


def latent_planes(
    modalities: Sequence[LatentCloud],
    class_names: Sequence[str],
    joint: LatentCloud | None = None,
) -> Figure:
    """Draw the latents of each modality and of all together, coloured by label.

    With more than two dimensions these are the first two principal axes of all points, the same in
    every panel. At most 3,000 points are drawn in each, evenly spaced over
    the data.

    Args:
        class_names: Names of the classes, length C; empty without labels.
        joint: The joint posterior, in a separate panel; None if the model has none.
    """
    clouds = [*modalities, *([] if joint is None else [joint])]
    plane = find_plane(np.concatenate([cloud.mean for cloud in clouds]), "latent")
    ends = np.cumsum([len(cloud.mean) for cloud in clouds])
    flat = [
        cloud._replace(mean=points)
        for cloud, points in zip(clouds, np.split(plane.points, ends[:-1]), strict=True)
    ]
    together = LatentCloud(
        "all modalities together",
        np.concatenate([cloud.mean for cloud in flat[: len(modalities)]]),
        np.concatenate([cloud.label for cloud in modalities]),
    )
    panels = [*flat[: len(modalities)], together, *flat[len(modalities) :]]
    num_columns = min(3, len(panels))
    num_rows = math.ceil(len(panels) / num_columns)
    named = _named(panels)
    legend_columns = math.ceil(len(named) / (NAMES_BY_PANEL * num_rows))
    figure = new_figure(3.3 * num_columns + 1.2 * max(1, legend_columns), 3.0 * num_rows)
    for number, cloud in enumerate(panels):
        axes = figure.add_subplot(num_rows, num_columns, number + 1)
        _draw_cloud(axes, cloud, class_names)
        tidy(axes, wrapped(cloud.name, MAX_LETTERS), x=plane.x, y=plane.y)
        axes.locator_params(nbins=5)
        axes.xaxis.label.set_fontsize(7)
        axes.yaxis.label.set_fontsize(7)
    if named:
        _add_legend(figure, named, class_names, legend_columns)
    return figure


def _draw_cloud(axes: Axes, cloud: LatentCloud, class_names: Sequence[str]) -> None:
    # Drawn class by class, the last one would cover the others: the points are drawn in a fixed
    # random order.
    every = max(1, math.ceil(len(cloud.mean) / MAX_POINTS))
    points, label = cloud.mean[::every], cloud.label[::every]
    order = np.random.default_rng(0).permutation(len(points))
    for part in np.array_split(order, min(8, max(1, len(order)))):
        for k in np.unique(label[part]):
            members = points[part[label[part] == k]]
            axes.scatter(members[:, 0], members[:, 1], s=7, alpha=0.6, linewidths=0, **look(int(k)))


def _named(panels: Sequence[LatentCloud]) -> list[int]:
    """Classes in the legend: those drawn, none if there are too many."""
    found = sorted({int(k) for cloud in panels for k in np.unique(cloud.label)})
    return [] if found == [-1] or len(found) > MAX_IN_LEGEND else found


def _add_legend(figure: Figure, found: list[int], names: Sequence[str], columns: int) -> None:
    axes = figure.axes[0]
    shown = [names[k] if 0 <= k < len(names) else "unknown" for k in found]
    handles = [
        axes.scatter([], [], s=24, linewidths=0, label=n, **look(k))
        for k, n in zip(found, shown, strict=True)
    ]
    options = {"fontsize": 8, "frameon": False}
    figure.legend(handles=handles, loc="outside right upper", ncols=columns, **options)
