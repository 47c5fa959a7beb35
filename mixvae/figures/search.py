"""How a search went: the metric trial by trial, and against each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mixvae.figures.style import COLOURS, FAINT, new_figure, tidy

COLUMNS = 3


def history_figure(
    values: Sequence[float | None], metric: str, *, minimize: bool, finished: Sequence[bool]
) -> Figure:
    """Draw the metric of each trial, and the best so far as a line.

    Args:
        values: The metric of each trial, of a pruned one where it stopped; None without any.
        finished: Whether each trial was trained to its end; only these can be the best.

    Returns:
        The figure; trials that were pruned are hollow.
    """
    figure = new_figure(7.0, 3.6)
    axes = figure.subplots()
    numbers, known, whole = _known(values, finished)
    for kind, face in ((whole, COLOURS[0]), (~whole, "none")):
        axes.plot(
            *(numbers[kind], known[kind]), "o", color=COLOURS[0], markerfacecolor=face, markersize=4
        )
    if whole.any():
        best = np.minimum if minimize else np.maximum
        axes.step(*(numbers[whole], best.accumulate(known[whole])), where="post", color=COLOURS[1])
    hollow = "; hollow: pruned" if (~whole).any() else ""
    tidy(axes, f"{metric} of each trial, and the best so far{hollow}", "trial", metric)
    return figure


def settings_figure(
    settings: Mapping[str, Sequence[float | str]],
    values: Sequence[float | None],
    metric: str,
    *,
    finished: Sequence[bool],
    log: Sequence[str] = (),
) -> Figure:
    """Draw the metric against each setting.

    Args:
        settings: Each setting's value in each trial; texts are shown side by side.
        values: The metric of each trial, of a pruned one where it stopped; None without any.
        finished: Whether each trial was trained to its end; the others are hollow.
        log: The settings to be shown on a logarithmic axis.

    Returns:
        The figure, three settings a row.
    """
    columns = min(COLUMNS, len(settings))
    rows = -(-len(settings) // columns)
    figure = new_figure(0.6 + 2.8 * columns, 0.4 + 2.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    numbers, known, whole = _known(values, finished)
    for axes, (key, column) in zip(grid.flat, settings.items(), strict=False):
        places = np.asarray([column[number] for number in numbers])
        if places.dtype.kind in "US":
            names = sorted(set(map(str, column)))
            places = np.asarray([names.index(place) for place in places], dtype=np.float64)
            axes.set_xticks(range(len(names)), [str(name) for name in names])
        elif key in log:
            axes.set_xscale("log")
        for kind, face in ((whole, COLOURS[0]), (~whole, "none")):
            axes.plot(
                *(places[kind], known[kind]), "o", color=COLOURS[0], markerfacecolor=face, alpha=0.7
            )
        axes.grid(color=FAINT, linewidth=0.3)
        tidy(axes, "", key, metric if axes in grid[:, 0] else "")
    for axes in list(grid.flat)[len(settings) :]:
        axes.set_visible(False)
    return figure


def _known(
    values: Sequence[float | None], finished: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of the trials that have a value, their values, and which are finished."""
    numbers = [n for n, value in enumerate(values) if value is not None and np.isfinite(value)]
    known = np.asarray([values[n] for n in numbers], dtype=np.float64)
    whole = np.asarray([finished[n] for n in numbers], dtype=bool)
    return np.asarray(numbers, dtype=np.int64), known, whole
