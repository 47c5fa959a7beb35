"""Runs of several seeds side by side: methods by measure, and measures against a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvae.figures.style import COLOURS, FAINT, MARKERS, new_figure, tidy


class Panel(NamedTuple):
    """Measures against a setting.

    Attributes:
        x: Name of the setting.
        y: Name of the measure, with its unit.
        curves: For each measure its values by setting, one for each seed.
    """

    x: str
    y: str
    curves: Mapping[str, Mapping[float, Sequence[float]]]


def method_scores(
    methods: Sequence[str], scores: Mapping[str, Sequence[Sequence[float]]], title: str
) -> Figure:
    """Draw each measure of each method: each seed a point, the mean over seeds a bar across.

    Args:
        methods: Names of the methods, one row each.
        scores: For each measure the values of each method, one per seed, none where the method
            has no such measure.
        title: Name of the data set.

    Returns:
        A figure with a panel for each measure.
    """
    figure = new_figure(2.6 * len(scores) + 1.2, 1.3 + 0.3 * len(methods))
    panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axes, (measure, values) in zip(panels, scores.items(), strict=True):
        for row, seeds in enumerate(values):
            axes.axhline(row, color=FAINT, linewidth=0.4, zorder=0)
            places = np.full(len(seeds), row)
            axes.plot(seeds, places, "o", color=COLOURS[0], markersize=4, alpha=0.7)
            if len(seeds) > 0:
                mean = float(np.mean(seeds))
                axes.plot(mean, row, "|", color=COLOURS[1], markersize=14, markeredgewidth=2)
        tidy(axes, "", measure)
    panels[0].set_yticks(range(len(methods)), list(methods))
    panels[0].invert_yaxis()
    figure.suptitle(f"{title}: each seed, and the mean over seeds", fontsize=10)
    return figure


def setting_curves(panels: Sequence[Panel], num_columns: int = 2) -> Figure:
    """Draw measures against settings: a line through the means, a point for each seed.

    Args:
        panels: The panels, row by row.
        num_columns: Panels beside each other.

    Returns:
        The figure.
    """
    num_rows = -(-len(panels) // num_columns)
    figure = new_figure(4.4 * num_columns, 3.1 * num_rows)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(num_rows, num_columns, number + 1)
        for order, (name, values) in enumerate(panel.curves.items()):
            _draw_setting_curve(axes, name, values, order)
        axes.grid(alpha=0.25)
        tidy(axes, "", x=panel.x, y=panel.y)
        if len(panel.curves) > 1:
            axes.legend(fontsize=8, frameon=False, loc="best")
    return figure


def _draw_setting_curve(
    axes: Axes, name: str, values: Mapping[float, Sequence[float]], order: int
) -> None:
    colour, marker = COLOURS[order % len(COLOURS)], MARKERS[order % len(MARKERS)]
    settings = sorted(setting for setting, seeds in values.items() if len(seeds) > 0)
    means = [float(np.mean(values[setting])) for setting in settings]
    axes.plot(settings, means, color=colour, linewidth=1.4, label=name)
    for setting in settings:
        places = np.full(len(values[setting]), setting)
        axes.plot(places, values[setting], marker, color=colour, markersize=4, alpha=0.6)
