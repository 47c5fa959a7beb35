"""Samples of several modalities beside their imputations from each modality."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import (
    INK,
    add_colour_bar,
    new_figure,
    tidy,
    value_limits,
    with_gaps,
    wrapped,
)

MAX_MODALITIES = 6
COLUMN, ROW = 2.3, 1.75  # size of one picture, inches
MAX_LETTERS = 22  # per line of a name above a column or beside a row
MAX_EVENT_NAMES = 14  # that fit into the height of a row

Array = NDArray[np.floating[Any]]


def imputations(
    samples: Sequence[Array],
    decoded: Sequence[Sequence[Array]],
    names: Sequence[str],
    event_names: Sequence[str],
    latents: str = "latents",
) -> Figure:
    """Draw, for each modality, its samples and its decodings from each modality's latents.

    At most six modalities are drawn; the title then says so.

    Args:
        samples: Samples of N events in each modality, M arrays (N, *shape_m), NaN where missing.
        decoded: Decoded samples of modality n from latents of modality m as [n][m], each of shape
            (N, *shape_n), NaN where m is missing.
        names: Names of the modalities, length M.
        event_names: Names of the events, such as their classes, length N. Of many only every n-th
            is written.
        latents: Name of the decoded latents, such as `shared latents`, for the title.

    Returns:
        A figure with a row for each modality and M+1 columns: vectors as heat maps with a line for
        each event, images in a grid, row by row; on one scale of values per row.
    """
    count = min(len(samples), MAX_MODALITIES)
    columns = [f"from {name}" for name in names[:count]]
    title = f"Samples and what {latents} decode to, by modality (framed: its own {latents})"
    shown = [one[:count] for one in decoded[:count]]
    figure, grid = _pictures(samples, shown, names, columns, event_names, title)
    for n in range(count):
        grid[n, n + 1].spines[:].set(visible=True, color=INK, linewidth=2.0)
    return figure


def generated(
    samples: Sequence[Array],
    drawn: Sequence[Sequence[Array]],
    names: Sequence[str],
    columns: Sequence[str],
    event_names: Sequence[str],
) -> Figure:
    """Draw, for each modality, its samples and what is drawn for it, in columns.

    Args:
        samples: As for `imputations`.
        drawn: Samples of modality n in column c as [n][c], each of shape (N, *shape_n), NaN where
            nothing is drawn.
        columns: Names of the columns beside the samples.
    """
    count = min(len(samples), MAX_MODALITIES)
    title = "Samples, and draws given other modalities of the event or no event"
    figure, _ = _pictures(samples, drawn[:count], names, columns, event_names, title)
    return figure


def _pictures(
    samples: Sequence[Array],
    beside: Sequence[Sequence[Array]],
    names: Sequence[str],
    columns: Sequence[str],
    event_names: Sequence[str],
    title: str,
) -> tuple[Figure, Any]:
    """A row for each modality of `beside`: its samples, and the columns; with the axes."""
    count, width = len(beside), len(columns) + 1
    figure = new_figure(COLUMN * width + 1.0, ROW * count + 0.5)
    grid = figure.subplots(count, width, squeeze=False)
    for n in range(count):
        parts = [_drawn(part) for part in (samples[n], *beside[n])]
        low, high = value_limits(np.concatenate([part.ravel() for part in parts]))
        pictures = [_picture(part, low, high) for part in parts]
        for column, picture in enumerate(pictures):
            axes = grid[n, column]
            image = axes.imshow(
                picture,
                cmap=with_gaps("gray" if samples[n].ndim == 4 else "viridis"),
                vmin=low,
                vmax=high,
                aspect="equal" if samples[n].ndim == 4 else "auto",
                interpolation="nearest",
            )
            axes.set_xticks([])
            axes.set_yticks([])
            source = "samples" if column == 0 else wrapped(columns[column - 1], MAX_LETTERS)
            row = wrapped(names[n], MAX_LETTERS) if column == 0 else ""
            tidy(axes, source if n == 0 else "", y=row)
        if samples[n].ndim != 4:
            add_colour_bar(figure, image, list(grid[n]), "value")
            _name_events(grid[n, 0], event_names)
    lines = textwrap.wrap(title, 32 * width)
    if count < len(samples):
        lines.append(f"the first {count} of {len(samples)} modalities")
    figure.suptitle("\n".join(lines), fontsize=10, color=INK)
    return figure, grid


def _name_events(axes: Any, names: Sequence[str]) -> None:
    """Label each run of equal event names once, at its middle; every n-th run if they are many."""
    ends = [i + 1 for i in range(len(names)) if i + 1 == len(names) or names[i + 1] != names[i]]
    starts = [0, *ends[:-1]]
    every = math.ceil(len(starts) / MAX_EVENT_NAMES)
    runs = list(zip(starts, ends, strict=True))[::every]
    middles = [(start + end - 1) / 2 for start, end in runs]
    axes.set_yticks(middles, [names[start] for start, _ in runs])
    axes.tick_params(length=0, labelsize=7)


def _drawn(samples: Array) -> Array:
    """Drawn channels of images: three as colours, else the first."""
    return samples[:, :1] if samples.ndim == 4 and samples.shape[1] != 3 else samples


def _picture(samples: Array, low: float, high: float) -> Array:
    """Arrange samples in one picture: images in rows, others as lines of a heat map.

    Colours, which have no colour map, run from 0 at the limit `low` to 1 at `high`.
    """
    if samples.ndim != 4:
        return samples.reshape(len(samples), -1)
    num_columns = math.ceil(math.sqrt(1.3 * len(samples)))
    num_rows = math.ceil(len(samples) / num_columns)
    grid = np.full((num_rows * num_columns, *samples.shape[1:]), np.nan)
    grid[: len(samples)] = samples
    rows = grid.reshape(num_rows, num_columns, *samples.shape[1:])
    _, _, channels, height, width = rows.shape
    picture = rows.transpose(0, 3, 1, 4, 2).reshape(num_rows * height, num_columns * width, -1)
    if channels == 1:
        return picture[..., 0]
    scaled = np.clip((picture - low) / (high - low), 0, 1)
    return np.where(np.isnan(picture), 1.0, scaled)
