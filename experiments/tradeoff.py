"""Gains of models against their cost, as the weight of their regulariser grows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvae.figures.style import COLOURS, INK, MARKERS, new_figure, tidy


class Spread(NamedTuple):
    """A measure of several runs.

    Attributes:
        mean: Its mean over seeds.
        deviation: Its standard deviation over seeds; NaN for one seed.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Mean and sample deviation of values, at least one."""
        return cls(statistics.fmean(values), statistics.stdev(values) if values[1:] else math.nan)


class Point(NamedTuple):
    """One model at one weight of its regulariser.

    Attributes:
        beta: The weight; None for a model without one.
        cost: Value on the horizontal axis.
        gains: Values on the vertical axis, by panel.
    """

    beta: float | None
    cost: Spread
    gains: Mapping[str, Spread]


def tradeoff(curves: Mapping[str, Sequence[Point]], panels: Sequence[str], cost: str) -> Figure:
    """Draw gains against a cost, a curve for each method, a point for each weight.

    The horizontal axis runs from large costs to small, so that the top right is best. Markers grow
    with the weight; bars are standard deviations over seeds.

    Args:
        curves: The points of each method, by growing weight.
        panels: Names of the gains, one panel each.
        cost: Name of the cost, with its unit.

    Returns:
        A figure with the panels side by side.
    """
    figure = new_figure(4.6 * len(panels) + 1.4, 4.2)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for order, (method, points) in enumerate(curves.items()):
            known = [point for point in points if panel in point.gains]
            if known:
                _draw_curve(axes, method, known, panel, order)
        axes.invert_xaxis()
        axes.grid(alpha=0.25)
        tidy(axes, "", x=f"{cost}, smaller to the right", y=panel)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    figure.suptitle(
        "Means over seeds, bars their standard deviation; the larger the marker, the larger beta",
        fontsize=9,
        color=INK,
    )
    return figure


def _draw_curve(axes: Axes, method: str, points: Sequence[Point], panel: str, order: int) -> None:
    colour, marker = COLOURS[order % len(COLOURS)], MARKERS[order % len(MARKERS)]
    x = [point.cost.mean for point in points]
    y = [point.gains[panel].mean for point in points]
    axes.errorbar(
        x,
        y,
        xerr=np.nan_to_num([point.cost.deviation for point in points]),
        yerr=np.nan_to_num([point.gains[panel].deviation for point in points]),
        color=colour,
        linewidth=1.2,
        elinewidth=0.7,
        alpha=0.8,
    )
    sizes = [16 + 14 * rank for rank in range(len(points))]
    axes.scatter(x, y, s=sizes, color=colour, marker=marker, label=method, zorder=3)


def objective_curve(
    betas: Sequence[float],
    objectives: Mapping[str, Sequence[Spread]],
    bounds: Mapping[str, Spread],
) -> Figure:
    """Draw the objective against the weight of the regulariser, under a bound.

    Args:
        betas: Weights, all above 0.
        objectives: For each split, the objective at each weight, as many as weights.
        bounds: For each split, the upper bound: the objective of autoencoders.

    Returns:
        A figure with a panel for each split.
    """
    figure = new_figure(4.4 * len(objectives), 3.6)
    for number, (split, values) in enumerate(objectives.items()):
        axes = figure.add_subplot(1, len(objectives), number + 1)
        bound = bounds[split]
        axes.errorbar(
            betas,
            [value.mean for value in values],
            yerr=np.nan_to_num([value.deviation for value in values]),
            color=COLOURS[0],
            marker="o",
            markersize=4,
            linewidth=1.4,
            label="objective of MMVM",
        )
        axes.axhline(
            bound.mean, color=COLOURS[1], linewidth=1.2, linestyle="--", label="autoencoders"
        )
        deviation = float(np.nan_to_num(bound.deviation))
        band = (bound.mean - deviation, bound.mean + deviation)
        axes.axhspan(*band, color=COLOURS[1], alpha=0.2, linewidth=0)
        axes.set_xscale("log")
        axes.invert_xaxis()
        axes.grid(alpha=0.25)
        tidy(axes, split, x="beta, smaller to the right", y="nats per event")
        axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure
