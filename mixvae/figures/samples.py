"""Samples, their reconstructions and traversals, in rows and columns.

Images become one mosaic. Other data, shape (D,), are drawn as heat maps, or as lines if a sample
is to be compared with its reconstructions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import (
    COLOURS,
    INK,
    add_colour_bar,
    new_figure,
    tidy,
    value_limits,
    with_gaps,
)

Range = tuple[float, float] | None
Array = NDArray[np.floating[Any]]


def _mosaic(images: Array, value_range: Range) -> Array:
    """Arrange images, shape (rows, columns, channels, height, width), in a grid with lines between.

    Three channels are colours, scaled to [0, 1]; otherwise the first channel is shown. Missing
    images, all NaN, stay NaN.
    """
    rows, columns, channels, height, width = images.shape
    if channels == 3:
        low, high = value_limits(images, value_range)
        shown = np.clip((images - low) / (high - low), 0, 1)
    else:
        shown = images[:, :, :1]
    depth = shown.shape[2]
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, depth), np.nan)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + 1), column * (width + 1)
            canvas[top : top + height, left : left + width] = np.moveaxis(shown[row, column], 0, -1)
    return np.where(np.isnan(canvas), 1.0, canvas) if depth == 3 else canvas[..., 0]


def _short(values: Array) -> list[str]:
    """Write values with enough decimals to distinguish neighbours."""
    step = float(np.abs(np.diff(values)).min())
    decimals = int(np.clip(math.ceil(-math.log10(step)), 1, 6)) if step > 0 else 2
    # Adding zero turns a rounded -0.0 into 0.0.
    return [f"{np.round(value, decimals) + 0.0:.{decimals}f}" for value in values]


def draw_mosaic(
    images: Array, rows: Sequence[str], columns: Sequence[str], value_range: Range
) -> tuple[Figure, Axes]:
    """Draw images, shape (rows, columns, channels, height, width), in a named grid."""
    num_rows, num_columns, _, height, width = images.shape
    cell = float(np.clip(11.0 / num_columns, 0.3, 0.75))
    figure = new_figure(cell * num_columns + 1.4, cell * num_rows * height / width + 1.1)
    axes = figure.add_subplot()
    low, high = value_limits(images, value_range)
    canvas = _mosaic(images, value_range)
    axes.imshow(canvas, cmap=with_gaps("gray"), vmin=low, vmax=high, interpolation="nearest")
    axes.set_yticks([row * (height + 1) + (height - 1) / 2 for row in range(num_rows)], rows)
    axes.set_xticks([c * (width + 1) + (width - 1) / 2 for c in range(num_columns)], columns)
    axes.tick_params(length=0)
    axes.spines[["bottom", "left"]].set_visible(False)
    return figure, axes


def _draw_heat_maps(
    panels: Sequence[Array],
    titles: Sequence[str],
    rows: str,
    value_range: Range,
    names: Sequence[str] = (),
) -> Figure:
    """Draw one heat map per panel, shape (n, D), with a common colour scale and named features."""
    num_columns = min(3, len(panels))
    num_rows = math.ceil(len(panels) / num_columns)
    height = 1.7 * num_rows + (1.1 if names else 0.6)
    figure = new_figure(3.6 * num_columns + 0.8, height)
    low, high = value_limits(np.concatenate([panel.ravel() for panel in panels]), value_range)
    drawn = []
    for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        axes = figure.add_subplot(num_rows, num_columns, number + 1)
        image = axes.imshow(
            panel,
            cmap=with_gaps("viridis"),
            vmin=low,
            vmax=high,
            aspect="auto",
            interpolation="nearest",
        )
        tidy(axes, title, x="" if names else "feature", y=rows)
        axes.set_yticks([])
        _name_features(axes, names, below=number + num_columns < len(panels))
        drawn.append(axes)
    add_colour_bar(figure, image, drawn, "value")
    return figure


def _name_features(axes: Axes, names: Sequence[str], below: bool) -> None:
    """Name the features under the lowest axes of a column alone: `below` has them for the others.

    Names are most of the time that a figure takes.
    """
    if names:
        shown = [] if below else list(names)
        axes.set_xticks(range(len(shown)), shown, rotation=90, fontsize=5)


def reconstructions(
    samples: Array,
    decoded: Array,
    categories: Sequence[int],
    value_range: Range,
    names: Sequence[str] = (),
) -> Figure:
    """Draw samples above their reconstructions by each agent.

    Args:
        samples: Samples, shape (N, *shape).
        decoded: Reconstructions of each agent, shape (A, N, *shape).
        categories: Consensus category of each sample, length N.
        names: Names of the features, for data that are no images; empty for numbers.

    Returns:
        A mosaic of A+1 rows and N columns for images; for other data axes for each of the first
        twelve samples, the sample and its reconstructions as lines.
    """
    title = "Samples and their reconstructions"
    if samples.ndim == 4:
        images = np.concatenate([samples[None], decoded])
        rows = ["sample", *(f"agent {a}" for a in range(len(decoded)))]
        columns = [str(category) for category in categories]
        figure, axes = draw_mosaic(images, rows, columns, value_range)
        tidy(axes, title, x="consensus category")
        return figure
    count = min(12, len(samples))
    num_columns = min(3, count)
    num_rows = math.ceil(count / num_columns)
    figure = new_figure(4.0 * num_columns, 1.8 * num_rows + (1.3 if names else 0.8))
    for n in range(count):
        axes = figure.add_subplot(num_rows, num_columns, n + 1)
        axes.plot(samples[n], color=INK, linewidth=1.0, label="sample")
        for a, lines in enumerate(decoded):
            colour = COLOURS[a % (len(COLOURS) - 1)]
            axes.plot(lines[n], color=colour, linewidth=1.0, alpha=0.8, label=f"agent {a}")
        tidy(axes, f"category {categories[n]}", x="" if names else "feature", y="value")
        _name_features(axes, names, below=n + num_columns < count)
    figure.suptitle(title, fontsize=10, color=INK)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", fontsize=7, frameon=False, ncols=8)
    return figure


def traversal(
    decoded: Array,
    values: Array,
    categories: Sequence[int],
    state: int,
    value_range: Range,
    agent: int = 0,
    names: Sequence[str] = (),
) -> Figure:
    """Draw the decodings of each category while one dimension of the state moves.

    Args:
        decoded: Decoded data, shape (K', steps, *shape), for the categories shown.
        values: Values of the state dimension, shape (steps,).
        categories: Numbers of the categories shown, length K'.
    """
    title = f"Traversal of state {state} by agent {agent}"
    x = f"value of state {state} (prior standard deviations), others at the category's mean"
    if decoded.ndim == 5:
        rows = [str(category) for category in categories]
        figure, axes = draw_mosaic(decoded, rows, _short(values), value_range)
        tidy(axes, title, x=x, y="category")
        return figure
    titles = [f"category {category}" for category in categories]
    span = f"state {state}\n{' to '.join(_short(values)[:: len(values) - 1])}"
    figure = _draw_heat_maps(list(decoded), titles, span, value_range, names)
    figure.suptitle(title, fontsize=10, color=INK)
    return figure


def category_samples(
    samples: Sequence[Array],
    categories: Sequence[int],
    value_range: Range,
    names: Sequence[str] = (),
) -> Figure:
    """Draw real samples of each category, the most confident first.

    Args:
        samples: Samples of each category shown, each of shape (n, *shape), where n may differ and
            be 0, but not for all.
    """
    title = "Samples of each consensus category, most confident first"
    longest = max(len(row) for row in samples)
    assert longest > 0, "no category holds a sample"
    grid = np.full((len(samples), longest, *samples[0].shape[1:]), np.nan)
    for row, members in zip(grid, samples, strict=True):
        row[: len(members)] = members
    if grid.ndim == 5:
        rows = [str(category) for category in categories]
        figure, axes = draw_mosaic(grid, rows, [""] * longest, value_range)
        tidy(axes, title, y="category")
        return figure
    titles = [f"category {category}" for category in categories]
    figure = _draw_heat_maps(list(grid), titles, "samples", value_range, names)
    figure.suptitle(title, fontsize=10, color=INK)
    return figure
