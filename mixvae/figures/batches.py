"""The batches in each category, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import COLOURS, legend_beside, new_figure, tidy


def batch_composition(
    counts: NDArray[np.integer[Any]], categories: Sequence[int], batches: Sequence[str]
) -> Figure:
    """Draw the share of each batch in each category, and over all categories.

    Args:
        counts: Samples of each category and batch, shape (G, B).
    """
    counts = np.concatenate([counts, counts.sum(axis=0, keepdims=True)])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(float(np.clip(0.4 * len(counts), 3.0, 12.0)) + 1.5, 3.2)
    axes = figure.add_subplot()
    start = np.zeros(len(share))
    for number, name in enumerate(batches):
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(range(len(share)), share[:, number], bottom=start, color=colour, label=name)
        start += share[:, number]
    axes.set_xticks(range(len(share)), [*map(str, categories), "all"])
    axes.set_ylim(0, 1)
    tidy(axes, "Batches in each category", x="category", y="share of the samples")
    legend_beside(axes)
    return figure
