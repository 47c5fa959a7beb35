"""How a search went: Optuna's plots of its study."""

from __future__ import annotations

import warnings
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def study_figures(study: Any, metric: str) -> dict[str, Figure]:
    """Draw the metric trial by trial, and against each setting; pruned trials are left out.

    The study needs a complete trial; the figures are `history` and `settings`.
    """
    from optuna.visualization.matplotlib import plot_optimization_history, plot_slice

    figures: dict[str, Figure] = {}
    plots: dict[str, Any] = {"history": plot_optimization_history, "settings": plot_slice}
    # Optuna sets a global style, and marks its plots as experimental; matplotlib warns of an axis
    # with a single value.
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plt.rc("figure", figsize=(8.0, 4.0))  # inches; each setting has half the width
        plt.rc("xtick", labelsize=6)  # more would overlap on a logarithmic axis
        for name, plot in plots.items():
            plot(study, target_name=metric)
            figures[name] = plt.gcf()
            plt.close(figures[name])
    return figures
