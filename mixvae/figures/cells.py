"""Cells by category: in the plane, by marker genes, and by what they are composed of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import (
    COLOURS,
    legend_below,
    legend_under_figure,
    look,
    new_figure,
    tidy,
)

MAX_LINES = 12  # of a legend; a longer one takes the place of the axes
LONGEST = 30  # letters of a name in it
MAX_ROWS = 40


def embedding(
    points: NDArray[np.floating[Any]], groupings: Mapping[str, Sequence[str]], axis: str
) -> Figure:
    """Draw cells in the plane once for each grouping, coloured by it.

    Args:
        points: Coordinates, shape (N, 2).
        groupings: Word of each cell, length N, by the name of the grouping.
        axis: Name of a coordinate, such as `UMAP`.
    """
    figure = new_figure(4.6 * len(groupings), 5.4)
    for number, (title, words) in enumerate(groupings.items()):
        axes = figure.add_subplot(1, len(groupings), number + 1)
        _draw_points(axes, points, np.asarray(words, dtype=str))
        tidy(axes, title, x=f"{axis} 1", y=f"{axis} 2")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def _draw_points(axes: Axes, points: NDArray[np.floating[Any]], words: NDArray[np.str_]) -> None:
    names = _in_order(words)
    size = float(np.clip(6000 / max(len(points), 1), 3, 16))
    for number, name in enumerate(names):
        members = points[words == name]
        axes.scatter(
            members[:, 0],
            members[:, 1],
            s=size,
            alpha=0.7,
            linewidths=0,
            label=_short(name),
            **look(number),
        )
    if columns := _columns(names, 44):
        legend_below(axes, bbox_to_anchor=(0.5, -0.08), ncols=columns, markerscale=1.5)


def markers(
    mean: NDArray[np.floating[Any]],
    share: NDArray[np.floating[Any]],
    categories: Sequence[str],
    genes: Sequence[str],
) -> Figure:
    """Draw the dot plot of marker genes: colour is the mean, size the share of cells with it.

    Args:
        mean: Mean expression of each gene in each category, in its own range from 0 to 1, (J, G).
        share: Share of the cells of a category that express the gene, (J, G).
    """
    rows = min(len(categories), MAX_ROWS)
    figure = new_figure(
        float(np.clip(0.19 * len(genes) + 2.4, 4.5, 16)), float(np.clip(0.26 * rows + 2.0, 3, 12))
    )
    axes = figure.add_subplot()
    row, column = np.indices((rows, len(genes)))
    sizes = 4 + 90 * share[:rows]
    image = axes.scatter(
        column.ravel(),
        row.ravel(),
        s=sizes.ravel(),
        c=mean[:rows].ravel(),
        cmap="Reds",
        vmin=0,
        vmax=1,
        edgecolors="#808080",
        linewidths=0.3,
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.6)
    bar.set_label("mean expression\n(of the gene's range)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    for part in (0.25, 0.5, 1.0):
        axes.scatter([], [], s=4 + 90 * part, color="#808080", label=f"{part:.0%}")
    axes.set_yticks(range(rows), list(categories[:rows]))
    axes.set_xticks(range(len(genes)), list(genes), rotation=90)
    axes.set_ylim(rows - 0.4, -0.6)
    tidy(axes, "Markers of each category", x="", y="category")
    axes.tick_params(axis="x", labelsize=6)
    dots, names = axes.get_legend_handles_labels()
    title = "cells that express it"
    options = {"fontsize": 7, "frameon": False, "title": title, "title_fontsize": 7, "ncols": 3}
    figure.legend(handles=dots, labels=names, loc="outside lower center", **options)
    return figure


def composition(
    counts: NDArray[np.integer[Any]], categories: Sequence[str], groups: Sequence[str], what: str
) -> Figure:
    """Draw which share of each category's cells each group has, as stacked bars.

    Args:
        counts: Cells of each category in each group, shape (J, C).
        what: Name of the grouping, such as `batch`.
    """
    rows = min(len(categories), MAX_ROWS)
    figure = new_figure(6.4, float(np.clip(0.26 * rows + 2.2, 3, 12)))
    axes = figure.add_subplot()
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)[:rows]
    left = np.zeros(rows)
    for number, group in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        hatch = ("", "///", "...", "xxx")[number // len(COLOURS) % 4]
        axes.barh(
            range(rows),
            share[:, number],
            left=left,
            color=colour,
            hatch=hatch,
            label=_short(group),
            edgecolor="white",
            linewidth=0.3,
        )
        left += share[:, number]
    names = [f"{name} ({n})" for name, n in zip(categories, total[:, 0].tolist(), strict=True)]
    axes.set_yticks(range(rows), names[:rows])
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlim(0, 1)
    tidy(axes, f"Cells of each category by {what}", x="share of the cells", y="category (cells)")
    if columns := _columns(groups, 60):
        legend_under_figure(figure, axes, ncols=columns)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _columns(names: Sequence[str], letters: int) -> int:
    """Columns of a legend of so many letters a line; 0 if it has too many lines to draw."""
    columns = max(1, min(len(names), letters // (max(len(_short(name)) for name in names) + 4)))
    return columns if len(names) <= MAX_LINES * columns else 0


def _in_order(words: NDArray[np.str_]) -> list[str]:
    """The different words, numbers by value."""
    return sorted(
        set(words.tolist()), key=lambda w: (not w.isdigit(), int(w) if w.isdigit() else 0, w)
    )
