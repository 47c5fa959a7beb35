"""Accuracy against coverage: what the agents agree on most, and all."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import COLOURS, FAINT, new_figure, tidy
from mixvae.spacing import spaced

MAX_POINTS = 2000


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
