"""Counts of samples as pictures: consensus, labels, category sizes, accuracy by coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import (
    COLOURS,
    FAINT,
    MAX_NUMBERED,
    add_colour_bar,
    label_ticks,
    legend_beside,
    new_figure,
    tidy,
    with_gaps,
    write_numbers,
)
from mixvae.spacing import spaced

MAX_POINTS = 2000

MAX_BARS = 5
"""Voters that get a bar each."""


def _side(count: int) -> float:
    return float(np.clip(0.38 * count, 2.5, 9.0))


def consensus_matrix(
    matrix: NDArray[np.floating[Any]], categories: Sequence[int] | None = None
) -> Figure:
    """Draw the consensus of the agents' categories, its mean diagonal in the title.

    Args:
        matrix: Mean over pairs of agents a < b of their consensus, shape (K, K); rows are the
            categories of a, columns those of b.
    """
    num_categories = len(matrix)
    side = _side(num_categories)
    figure = new_figure(side + 1.8, side + 1.0)
    axes = figure.add_subplot()
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap=with_gaps("cividis"))
    add_colour_bar(figure, image, axes, "consensus (1 = the same samples)")
    names = [str(k) for k in (range(num_categories) if categories is None else categories)]
    label_ticks(axes, names, names)
    if num_categories <= MAX_NUMBERED:
        texts = np.char.mod("%.2f", matrix)
        write_numbers(axes, matrix, np.where(matrix >= 0.005, texts, ""), middle=0.5)
    mean = float(np.diagonal(matrix).mean())
    tidy(
        axes,
        f"Consensus of the agents (mean diagonal {mean:.3f})",
        x="category of the other agent",
        y="category of an agent",
    )
    return figure


def category_label_table(
    counts: NDArray[np.integer[Any]],
    categories: Sequence[int],
    class_names: Sequence[str],
    accuracy: float,
) -> Figure:
    """Draw the distribution of each category's samples over the label classes.

    Args:
        counts: Samples per category and class, shape (K, C), rows in the order to draw.
    """
    num_rows, num_columns = counts.shape
    figure = new_figure(_side(num_columns) + 2.4, _side(num_rows) + 1.4)
    axes = figure.add_subplot()
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap=with_gaps("cividis"), aspect="auto")
    add_colour_bar(figure, image, axes, "share of the category's samples")
    label_ticks(axes, [str(k) for k in categories], list(class_names))
    if max(counts.shape) <= MAX_NUMBERED:
        texts = np.where(counts > 0, counts.astype(str), "")
        write_numbers(axes, np.nan_to_num(shares), texts, middle=0.5)
    tidy(
        axes,
        f"Samples by category and label (accuracy {accuracy:.3f})",
        x="label",
        y="consensus category,\nmatched to the labels",
    )
    return figure


def samples_per_category(
    occupancy: NDArray[np.integer[Any]], categories: Sequence[int] | None = None
) -> Figure:
    """Draw the number of samples per category of the vote, and of each agent or their range.

    Args:
        occupancy: Number of samples, the vote last, shape (A+1, K).
    """
    num_voters, num_categories = occupancy.shape
    many = num_voters > MAX_BARS
    bars = 1 if many else num_voters
    figure = new_figure(float(np.clip(0.12 * bars * num_categories + 3.0, 6.0, 15.0)), 3.2)
    axes = figure.add_subplot()
    width = 0.8 / bars
    for bar, counts in enumerate(occupancy[-bars:]):
        is_vote = bar == bars - 1
        axes.bar(
            np.arange(num_categories) + (bar - (bars - 1) / 2) * width,
            counts,
            width=width,
            # Black is the vote's: agents share the other colours.
            color=(FAINT if many else COLOURS[-1]) if is_vote else COLOURS[bar],
            label="consensus vote" if is_vote else f"agent {bar}",
        )
    if many:
        least, most = occupancy[:-1].min(axis=0), occupancy[:-1].max(axis=0)
        look: dict[str, Any] = {"color": COLOURS[0], "linewidth": 3}
        axes.vlines(range(num_categories), least, most, label=f"{num_voters - 1} agents", **look)
    even = occupancy[-1].sum() / num_categories
    axes.axhline(even, color=FAINT, linewidth=1, linestyle="--", label="even split")
    axes.set_xlim(-0.6, num_categories - 0.4)
    every = int(np.ceil(num_categories / 40))
    names = [str(k) for k in (range(num_categories) if categories is None else categories)]
    axes.set_xticks(range(0, num_categories, every), names[::every])
    tidy(axes, "Samples per category", x="category", y="samples")
    legend_beside(axes, ncols=math.ceil((num_voters + 1) / 12))
    return figure


def risk_coverage(accuracy: NDArray[np.float64]) -> Figure:
    """Draw the accuracy of the n samples that the agents agree on most, over their share.

    Args:
        accuracy: Accuracy of the n most agreeing samples, n = 1..N, shape (N,).
    """
    num = len(accuracy)
    shown = spaced(num, MAX_POINTS)
    figure = new_figure(4.6, 3.6)
    axes = figure.add_subplot()
    axes.plot((shown + 1) / num, accuracy[shown], color=COLOURS[0], linewidth=1.6)
    axes.axhline(accuracy[-1], color=FAINT, linestyle="--", linewidth=1)
    axes.set_xlim(0, 1.02)
    most = accuracy[max(0, round(0.9 * num) - 1)]
    tidy(
        axes,
        f"Accuracy {most:.3f} of the 90 % agreed on most, {accuracy[-1]:.3f} of all"
        f"\narea under the risk-coverage curve {1 - accuracy.mean():.4f}",
        x="share of samples, the most agreeing first",
        y="accuracy",
    )
    return figure
