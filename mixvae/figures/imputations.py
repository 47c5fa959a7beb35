"""Samples of several modalities beside what is decoded from the latents of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import INK, add_colour_bar, new_figure, tidy, with_gaps

MAX_MODALITIES = 6

Array = NDArray[np.floating[Any]]


def imputations(
    samples: Sequence[Array],
    decoded: Sequence[Sequence[Array]],
    names: Sequence[str],
    event_names: Sequence[str],
) -> Figure:
    """Draw, for each modality, its samples and what each modality's latents decode to in it.

    Of more than six modalities the first six are drawn.

    Args:
        samples: Samples of N events in each modality, M arrays (N, *shape_m), NaN where missing.
        decoded: Decoded samples of modality n from latents of modality m as [n][m], each of shape
            (N, *shape_n), NaN where m is missing.
        names: Names of the modalities, length M.
        event_names: Names of the events, such as their classes, length N.

    Returns:
        A figure with a row for each modality and M+1 columns: vectors as heat maps with a line for
        each event, on one colour scale per row; images in a grid, row by row.
    """
    count = min(len(samples), MAX_MODALITIES)
    figure = new_figure(2.3 * (count + 1) + 1.0, 1.75 * count + 0.5)
    grid = figure.subplots(count, count + 1, squeeze=False)
    for n in range(count):
        pictures = [_picture(part) for part in (samples[n], *decoded[n][:count])]
        low, high = _limits(pictures)
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
            source = "samples" if column == 0 else f"from {names[column - 1]}"
            tidy(axes, source if n == 0 else "", y=names[n] if column == 0 else "")
            if column == n + 1:
                axes.spines[:].set(visible=True, color=INK, linewidth=2.0)
        if samples[n].ndim != 4:
            add_colour_bar(figure, image, list(grid[n]), "value")
            _name_events(grid[n, 0], event_names)
    figure.suptitle(
        "Samples and what latents decode to, by modality (framed: its own latents)",
        fontsize=10,
        color=INK,
    )
    return figure


def _name_events(axes: Any, names: Sequence[str]) -> None:
    """Name runs of events of one name once, at their middle."""
    ends = [i + 1 for i in range(len(names)) if i + 1 == len(names) or names[i + 1] != names[i]]
    starts = [0, *ends[:-1]]
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    axes.set_yticks(middles, [names[start] for start in starts])
    axes.tick_params(length=0, labelsize=7)


def _picture(samples: Array) -> Array:
    """Lay samples out as one picture: images in rows, others as lines of a heat map."""
    if samples.ndim != 4:
        return samples.reshape(len(samples), -1)
    shown = samples if samples.shape[1] == 3 else samples[:, :1]
    num_columns = math.ceil(math.sqrt(1.3 * len(shown)))
    num_rows = math.ceil(len(shown) / num_columns)
    grid = np.full((num_rows * num_columns, *shown.shape[1:]), np.nan)
    grid[: len(shown)] = shown
    rows = grid.reshape(num_rows, num_columns, *shown.shape[1:])
    _, _, channels, height, width = rows.shape
    picture = rows.transpose(0, 3, 1, 4, 2).reshape(num_rows * height, num_columns * width, -1)
    if channels == 1:
        return picture[..., 0]
    return np.clip(np.where(np.isnan(picture), 1.0, picture), 0, 1)


def _limits(pictures: Sequence[Array]) -> tuple[float, float]:
    values = np.concatenate([picture.ravel() for picture in pictures])
    values = values[~np.isnan(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, [1, 99])
    return float(low), float(max(high, low + 1e-6))
