"""A search: settings chosen one after the other by what the ones before them reached."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from mixvae.cli.checked_jobs import check_values
from mixvae.cli.errors import UsageError
from mixvae.cli.overrides import check_command_line
from mixvae.cli.search_request import SearchRequest, parse_search
from mixvae.cli.search_space import as_text
from mixvae.files import write_text
from mixvae.ranks import check_started_alone
from mixvae.runs.folder import RunFolder, claimed
from mixvae.sweeps.search_storage import (
    check_optuna,
    check_storage,
    new_trial,
    opened_study,
    stopped_trials,
)

RECORD = "search.yaml"
# What may change when the same search goes on.
MAY_CHANGE = ("num_trials", "timeout_min")


def search(arguments: Sequence[str]) -> None:
    """Run a search, or go on with it.

    Args:
        arguments: The command line without the program's name.

    Raises:
        UsageError: If it cannot be run; then nothing was made.
        ValueError: If no trial reached a value.
    """
    request = parse_search(arguments)
    check_started_alone("a search")
    check_optuna()
    check_space(request)
    begin(request)
    if request.uses_labels:
        print(
            f"note: {request.config.metric} compares with labels, so the setting found will have"
            " been chosen with labels; say so where its results are reported"
        )
    with (
        claimed(RunFolder(request.folder)),
        opened_study(request.folder / request.config.storage, request.config) as study,
    ):
        _Search(request, study).run()


def check_space(request: SearchRequest) -> None:
    """Compose a run from every corner of the space, as if it were a command line.

    Args:
        request: The search.

    Raises:
        UsageError: If a key is in no config, or a value is of a wrong type.
    """
    corners = [parameter.corners for parameter in request.parameters]
    for index in range(max(map(len, corners))):
        values = {
            parameter.key: options[index % len(options)]
            for parameter, options in zip(request.parameters, corners, strict=True)
        }
        check_values(check_command_line(request.overrides(values, request.config.seeds[0])))


def begin(request: SearchRequest) -> None:
    """Make the search's folder, or check that the one in it is this one.

    Args:
        request: The search.

    Raises:
        UsageError: If the folder holds something else, or another search.
    """
    folder, config = request.folder, asdict(request.config)
    check_storage(folder / request.config.storage)
    record = folder / RECORD
    if not record.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty and holds no search; choose another out=...")
    else:
        before = yaml.safe_load(record.read_text(encoding="utf-8"))
        for key, value in config.items():
            if key not in MAY_CHANGE and before.get(key) != value:
                raise UsageError(
                    f"{folder} holds a search with {key}={before.get(key)}, not {value}; go on with"
                    " that one, or choose another out=FOLDER"
                )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(record, "# The search in this folder.\n" + yaml.safe_dump(config, sort_keys=False))


class _Search:
    """A search on its way."""

    def __init__(self, request: SearchRequest, study: Any) -> None:
        self.request, self.study, self.config = request, study, request.config

    def run(self) -> None:
        """Finish the trials that were stopped, try new ones, and tell what was found."""
        started = time.monotonic()
        try:
            for trial in stopped_trials(self.study):
                self._carry_out(trial)
            while len(self._trials) < self.config.num_trials:
                minutes = (time.monotonic() - started) / 60
                if self.config.timeout_min is not None and minutes >= self.config.timeout_min:
                    print(f"timeout_min={self.config.timeout_min} is over: no new trial begins")
                    break
                self._carry_out(new_trial(self.study, self.config, self.request.parameters))
        finally:
            self._tell()
        states = [trial.state.name for trial in self._trials]
        if states and "COMPLETE" not in states:
            raise ValueError("no trial of the search reached a value")

    @property
    def _trials(self) -> list[Any]:
        trials: list[Any] = self.study.get_trials(deepcopy=False)
        return trials

    def _carry_out(self, trial: Any) -> None:
        """Run a trial's jobs and tell the study how it ended."""
        from mixvae.callbacks.reporting import RunPruned, UnknownMetricError

        setting = ", ".join(f"{key}={as_text(value)}" for key, value in trial.params.items())
        print(f"trial {trial.number}: {setting}", flush=True)
        try:
            values = [self._run(trial, index) for index in range(len(self.config.seeds))]
        except RunPruned as stop:
            print(f"trial {trial.number}: {stop}", flush=True)
            self.study.tell(trial.number, state=_state("PRUNED"))
        except UnknownMetricError as error:
            self.study.tell(trial.number, state=_state("FAIL"))
            raise UsageError(
                f"{error}; remove {self.request.folder} or name another out=FOLDER to begin again"
            ) from error
        except Exception as error:
            self._record_failure(trial, error)
        else:
            value = statistics.fmean(values)
            self.study.tell(trial.number, value)
            print(f"trial {trial.number}: {self.config.metric} {value:.6g}", flush=True)

    def _run(self, trial: Any, index: int) -> float:
        """Run a trial with one of its seeds and return the metric."""
        # Here, so that a wrong search is refused before PyTorch is imported.
        from mixvae.callbacks.reporting import Reporting, UnknownMetricError, unknown_metric
        from mixvae.sweeps.jobs import carry_out

        overrides = self.request.overrides(trial.params, self.config.seeds[index])
        (cfg,) = check_command_line(overrides)
        folder = RunFolder(self._folder(trial, index))

        def report(epochs: int, value: float) -> bool:
            # An epoch that is trained again after a stop was reported before.
            if epochs not in self._reported(trial):
                trial.report(value, epochs)
            return bool(trial.should_prune())

        callbacks = [Reporting(self.config.metric, report)] if index == 0 else []
        value = carry_out(cfg, overrides, folder, callbacks)
        if value is None:
            summary = folder.read_summary()
            if summary.get(self.config.metric, "") is None:
                raise ValueError(f"{self.config.metric} is NaN or infinite")
            logged = [name for name in summary if "/" in name and not name.startswith("test/")]
            raise UnknownMetricError(unknown_metric(self.config.metric, logged))
        if not math.isfinite(value):
            raise ValueError(f"{self.config.metric} is {value}")
        return value

    def _reported(self, trial: Any) -> dict[int, float]:
        reported: dict[int, float] = self._trials[trial.number].intermediate_values
        return reported

    def _folder(self, trial: Any, index: int) -> Path:
        from mixvae.sweeps.search_record import jobs_of

        name = jobs_of(trial.number, len(self.config.seeds))[index]
        return (self.request.folder / name).absolute()

    def _record_failure(self, trial: Any, error: Exception) -> None:
        """Leave word of a trial that failed in its jobs and in the study."""
        from mixvae.cli.errors import message_of
        from mixvae.sweeps.jobs import record_failure

        message = message_of(error)
        print(f"error in trial {trial.number}: {message}", file=sys.stderr, flush=True)
        for index, seed in enumerate(self.config.seeds):
            folder = RunFolder(self._folder(trial, index))
            if folder.status != "finished":
                record_failure(folder, self.request.overrides(trial.params, seed), message)
                break
        trial.set_user_attr("error", message)
        self.study.tell(trial.number, state=_state("FAIL"))

    def _tell(self) -> None:
        """Write the tables and figures, and print the best setting."""
        from mixvae.sweeps.resuming import finish
        from mixvae.sweeps.search_record import best_command, best_of, write_trials

        trials = self._trials
        if not any(self._folder(trial, 0).is_dir() for trial in trials):
            return
        finish(self.request.folder)
        for path in write_trials(self.request, trials):
            print(f"               {path}")
        best = best_of(trials, minimize=self.config.direction == "minimize")
        if best is None:
            return
        print(f"best           trial {best.number}: {self.config.metric} {best.value:.6g}")
        print(best_command(self.request, best), flush=True)


def _state(name: str) -> Any:
    import optuna

    return optuna.trial.TrialState[name]
