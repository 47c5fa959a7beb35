"""Consensus and reconstruction as categories are pruned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mixvae.figures.style import COLOURS, FAINT, legend_below, new_figure, tidy


def model_order(
    rounds: Sequence[Any], selected: int, threshold: float, threshold_met: bool = True
) -> Figure:
    """Draw the consensus and the reconstruction of each round against its number of categories.

    `rounds` are those of `evaluation.model_order`.
    """
    if not rounds:
        raise ValueError("no model order to draw: no round was measured")
    rounds = sorted(rounds, key=lambda one: one.num_categories)
    orders = [one.num_categories for one in rounds]
    figure = new_figure(10.5, 3.6)
    panels = (
        ("Consensus", "consensus", {"mean": "consensus", "least category": "min_consensus"}),
        ("Reconstruction, -log p(x|s, c)", "nats per sample", {"mean": "reconstruction"}),
        ("Populated categories", "categories", {"populated": "populated_categories"}),
    )
    for number, (title, unit, series) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for colour, (label, name) in zip(COLOURS, series.items(), strict=False):
            values = [getattr(one, name) for one in rounds]
            axes.plot(orders, values, color=colour, marker="o", markersize=3.5, label=label)
        if number == 0:
            axes.axhline(threshold, color=FAINT, linewidth=1, linestyle="--", label="threshold")
            axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
            if not threshold_met:
                title = "Consensus: below the threshold"
        elif number == 2:
            axes.plot(orders, orders, color=FAINT, linewidth=1, linestyle="--", label="K")
        axes.axvline(
            selected, color=COLOURS[2], linewidth=1.2, linestyle=":", label=f"selected {selected}"
        )
        tidy(axes, title, x="categories kept, K", y=unit)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        axes.grid(alpha=0.25)
        legend_below(axes)
    return figure
