"""The results of a search: a table of its trials, two figures, the best setting as a command."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixvae.cli.search_request import Scalar, SearchRequest, as_text
from mixvae.files import replacing, write_table
from mixvae.sweeps.search_study import has_value

# Optuna's states that have another name here.
STATES = {"COMPLETE": "finished", "FAIL": "failed"}


def jobs_of(number: int, num_seeds: int) -> list[str]:
    """Return the names of a trial's job folders, one for each seed."""
    return [str(number * num_seeds + index) for index in range(num_seeds)]


def write_trials(request: SearchRequest, study: Any) -> list[Path]:
    """Write `search.csv`, and the figures if a trial has finished; return the files."""
    config = request.config
    header = ["trial", "jobs", *config.space, "status", "error", config.metric]
    rows = [
        [
            trial.number,
            " ".join(jobs_of(trial.number, len(config.seeds))),
            *(as_text(trial.params[key]) if key in trial.params else "" for key in config.space),
            STATES.get(trial.state.name, trial.state.name.lower()),
            trial.user_attrs.get("error", ""),
            # Of a pruned trial, the last value reported.
            "" if trial.value is None else f"{trial.value:.6g}",
        ]
        for trial in study.get_trials(deepcopy=False)
    ]
    write_table(request.folder / "search.csv", header, rows)
    written = [request.folder / "search.csv"]
    if has_value(study):
        for name, figure in study_figures(study, config.metric).items():
            written.append(request.folder / f"search_{name}.png")
            with replacing(written[-1]) as temporary:
                figure.savefig(temporary, bbox_inches="tight")
    return written


def best_command(request: SearchRequest, setting: Mapping[str, Scalar]) -> str:
    """Return the command line that trains a setting again, with every seed of the search."""
    seeds = ",".join(map(str, request.config.seeds))
    several = ["-m"] if len(request.config.seeds) > 1 else []
    overrides = request.setting(setting)
    return shlex.join(["python", "-m", "mixvae.train", *several, *overrides, f"seed={seeds}"])


def study_figures(study: Any, metric: str) -> dict[str, Any]:
    """Draw the metric trial by trial, and against each setting; pruned trials are left out.

    The study needs a complete trial; the figures are `history` and `settings`.
    """
    # Here, so that a wrong search is refused before matplotlib is imported.
    import matplotlib.pyplot as plt
    from optuna.visualization.matplotlib import plot_optimization_history, plot_slice

    figures: dict[str, Any] = {}
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
