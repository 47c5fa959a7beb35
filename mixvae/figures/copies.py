"""Samples beside their copies by a learned augmenter."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.plane import principal_axes
from mixvae.figures.samples import draw_mosaic
from mixvae.figures.style import COLOURS, FAINT, new_figure, tidy

Array = NDArray[np.floating[Any]]
TITLE = "Samples and their copies"


def image_copies(
    samples: Array, copies: Array, value_range: tuple[float, float] | None = None
) -> Figure:
    """Draw images above their copies.

    Args:
        samples: Images, shape (N, channels, height, width); the first channel is shown, or three
            as colours where there are three.
        copies: Copies of each, shape (C, N, channels, height, width).
        value_range: Smallest and largest value, None where unbounded.
    """
    images = np.concatenate([samples[None], copies])
    low, high = value_range or (float(images.min()), float(images.max()))
    rows = ["sample", *(f"copy {number}" for number in range(1, len(images)))]
    limits = (low, max(high, low + 1e-6))
    figure, axes = draw_mosaic(images, rows, [""] * len(samples), limits)
    tidy(axes, TITLE)
    return figure


def copy_plane(samples: Array, copies: Array) -> Figure:
    """Draw copies and their samples on the samples' first two principal components.

    Args:
        samples: Samples, shape (N, D), N at least 2.
        copies: Copies of the first n of them, shape (C, n, D).
    """
    centre = samples.mean(axis=0)
    plane = principal_axes(samples - centre)[0][:2].T
    points = (samples - centre) @ plane
    moved = (copies - centre) @ plane
    figure = new_figure(5.5, 5.0)
    axes = figure.add_subplot()
    x, y = points.T
    axes.scatter(x, y, s=6, color=FAINT, alpha=0.5, label="samples", linewidth=0)
    for n in range(copies.shape[1]):
        colour = COLOURS[n % len(COLOURS)]
        for copy in moved[:, n]:
            axes.plot(*np.stack([points[n], copy]).T, color=colour, linewidth=0.8)
        x, y = points[n]
        axes.scatter(x, y, s=22, color=colour, label="a sample" if n == 0 else None)
        label = "its copies" if n == 0 else None
        x, y = moved[:, n].T
        axes.scatter(x, y, s=14, marker="x", color=colour, linewidth=1, label=label)
    tidy(axes, TITLE, x="first principal component", y="second principal component")
    axes.legend(fontsize=7, frameon=False)
    return figure
