"""A sweep's metric: one row for each setting, a point for each seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mixvae.figures.style import COLOURS, FAINT, new_figure, tidy

MAX_ROWS = 60


def sweep_figure(names: Sequence[str], values: Sequence[Sequence[float]], metric: str) -> Figure:
    """Draw a metric of a sweep: each job a point, the mean over seeds a bar across."""
    shown = min(len(names), MAX_ROWS)
    figure = new_figure(7.0, 1.2 + 0.28 * shown)
    axes = figure.subplots()
    for row in range(shown):
        points = np.asarray(values[row], dtype=np.float64)
        axes.axhline(row, color=FAINT, linewidth=0.4, zorder=0)
        axes.plot(points, np.full(len(points), row), "o", color=COLOURS[0], markersize=4, alpha=0.7)
        axes.plot(points.mean(), row, "|", color=COLOURS[1], markersize=14, markeredgewidth=2)
    axes.set_yticks(range(shown), [str(name) for name in names[:shown]])
    axes.invert_yaxis()
    cut = "" if shown == len(names) else f" (the first {shown} of {len(names)} settings)"
    tidy(axes, f"{metric}: each job and the mean over seeds{cut}", metric)
    return figure
