"""Coherence between modalities, and accuracies of probes and classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import (
    COLOURS,
    INK,
    MAX_NUMBERED,
    add_colour_bar,
    label_ticks,
    legend_beside,
    new_figure,
    tidy,
    with_gaps,
    wrapped,
    write_numbers,
)

MAX_LETTERS = 12  # per line of a name below the bars
MAX_LEVEL = 12  # with more names, these are vertical


def coherence_heat_map(
    matrix: NDArray[np.floating[Any]],
    names: Sequence[str],
    coherence: float,
    latents: str = "latents",
) -> Figure:
    """Draw the share of samples whose class survives decoding into another modality.

    Args:
        matrix: Coherence [m, n] from modality m to n, shape (M, M), NaN where it is not known.
        coherence: Mean over pairs of different modalities, for the title.
        latents: Name of the decoded latents, such as `shared latents`.
    """
    side = float(np.clip(0.75 * len(names), 2.5, 9.0))
    figure = new_figure(side + 2.4, side + 1.2)
    axes = figure.add_subplot()
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap=with_gaps("cividis"))
    add_colour_bar(figure, image, axes, "share of samples whose class is found")
    label_ticks(axes, list(names), list(names))
    if len(names) <= MAX_NUMBERED:
        shown = np.nan_to_num(matrix, nan=1.0)
        texts = np.where(np.isnan(matrix), "", np.char.mod("%.2f", shown))
        write_numbers(axes, shown, texts, middle=0.5)
    tidy(
        axes,
        f"Coherence (mean over pairs {coherence:.3f})",
        x="modality decoded and classified",
        y=f"modality encoded ({latents})",
    )
    return figure


def accuracy_bars(
    series: Mapping[str, Sequence[float]],
    names: Sequence[str],
    largest: Sequence[float],
    samples: str,
) -> Figure:
    """Draw accuracies of several classifiers side by side for each modality.

    Args:
        series: For each classifier, its accuracy in each modality, length M, NaN for none.
        largest: Share of each modality's largest class, the accuracy of always guessing it, drawn
            as a line, length M, NaN for none.
        samples: Name of the samples, such as `held-out samples`.
    """
    figure = new_figure(float(np.clip(1.1 * len(names) + 3.2, 5.0, 15.0)), 3.4)
    axes = figure.add_subplot()
    width = 0.8 / len(series)
    for number, (label, values) in enumerate(series.items()):
        offset = (number - (len(series) - 1) / 2) * width
        heights = np.asarray(values, dtype=np.float64)
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(np.arange(len(names)) + offset, heights, width=width, color=colour, label=label)
    places = np.arange(len(names))
    left, right = places - 0.45, places + 0.45
    guessed = axes.hlines(largest, left, right, colors=INK, linewidth=1, linestyles="--")
    guessed.set_label("share of the largest class")
    axes.set_xticks(places, [wrapped(name, MAX_LETTERS) for name in names])
    if len(names) > MAX_LEVEL or max(map(len, names)) > 3 * MAX_LETTERS:
        axes.tick_params(axis="x", rotation=90)
    axes.set_ylim(0, 1)
    tidy(axes, "What classifiers find in each modality", y=f"accuracy on {samples}")
    legend_beside(axes)
    return figure
