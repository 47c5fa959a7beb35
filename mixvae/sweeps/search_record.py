"""What a search leaves: a table of its trials, two figures, the best setting as a command."""

from __future__ import annotations

import csv
import io
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvae.cli.search_request import SearchRequest
from mixvae.cli.search_space import as_text
from mixvae.figures.search import history_figure, settings_figure
from mixvae.files import replacing, write_text

# Optuna's word for how a trial ended, and ours.
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def state_of(trial: Any) -> str:
    """Return how a trial ended.

    Args:
        trial: One of the study's.
    """
    return STATES.get(trial.state.name, "waiting")


def value_of(trial: Any) -> float | None:
    """Return a trial's metric, of a pruned one where it stopped.

    Args:
        trial: One of the study's.
    """
    value = trial.value if state_of(trial) in ("finished", "pruned") else None
    return None if value is None or not math.isfinite(value) else float(value)


def jobs_of(number: int, num_seeds: int) -> list[str]:
    """Return the names of a trial's job folders, one for each seed.

    Args:
        number: Number of the trial.
        num_seeds: Runs of a trial.
    """
    return [str(number * num_seeds + index) for index in range(num_seeds)]


def best_of(trials: Sequence[Any], *, minimize: bool) -> Any | None:
    """Return the best trial that was trained to its end, the first of equals; None without any.

    Args:
        trials: The study's trials.
        minimize: Whether smaller is better.
    """
    whole = [trial for trial in trials if state_of(trial) == "finished"]
    sign = 1 if minimize else -1
    return min(whole, key=lambda trial: sign * trial.value, default=None)


def write_trials(request: SearchRequest, trials: Sequence[Any]) -> list[Path]:
    """Write `search.csv`, and the figures where a trial has a value.

    Args:
        request: The search.
        trials: The study's trials.

    Returns:
        The files.
    """
    table = request.folder / "search.csv"
    write_text(table, _table(request, trials))
    return [table, *_draw(request, trials)]


def _draw(request: SearchRequest, trials: Sequence[Any]) -> list[Path]:
    values = [value_of(trial) for trial in trials]
    if all(value is None for value in values):
        return []
    finished = [state_of(trial) == "finished" for trial in trials]
    metric, minimize = request.config.metric, request.config.direction == "minimize"
    settings = {
        parameter.key: [_drawn(trial.params.get(parameter.key)) for trial in trials]
        for parameter in request.parameters
    }
    log = [parameter.key for parameter in request.parameters if parameter.log]
    figures = {
        "search_history.png": history_figure(values, metric, minimize=minimize, finished=finished),
        "search_settings.png": settings_figure(
            settings, values, metric, finished=finished, log=log
        ),
    }
    for name, figure in figures.items():
        with replacing(request.folder / name) as temporary:
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.1)
    return [request.folder / name for name in figures]


def _drawn(value: Any) -> float | str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number else as_text(value)


def _table(request: SearchRequest, trials: Sequence[Any]) -> str:
    keys = [parameter.key for parameter in request.parameters]
    rows = [["trial", "jobs", *keys, "status", "error", request.config.metric]]
    for trial in trials:
        value = value_of(trial)
        settings = [as_text(trial.params[key]) if key in trial.params else "" for key in keys]
        jobs = " ".join(jobs_of(trial.number, len(request.config.seeds)))
        error = str(trial.user_attrs.get("error", ""))
        told = "" if value is None else f"{value:.6g}"
        rows.append([str(trial.number), jobs, *settings, state_of(trial), error, told])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def best_command(request: SearchRequest, best: Any) -> str:
    """Return the command line that trains the best setting again.

    Args:
        request: The search.
        best: Its best trial.
    """
    seeds = ",".join(map(str, request.config.seeds))
    several = ["-m"] if len(request.config.seeds) > 1 else []
    setting = request.setting(best.params)
    return shlex.join(["python", "-m", "mixvae.train", *several, *setting, f"seed={seeds}"])
