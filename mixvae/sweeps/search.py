"""A search: settings that Optuna chooses one after the other, by the results so far."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

import yaml

from mixvae.cli.command import Command
from mixvae.cli.compose import compose_jobs
from mixvae.cli.errors import INTERRUPTED, UsageError, message_of
from mixvae.cli.search_request import Scalar, SearchRequest, as_text, parse_sweep
from mixvae.files import write_text
from mixvae.ranks import check_started_alone
from mixvae.runs.folder import RunFolder, claimed
from mixvae.sweeps.resuming import finish, is_taken
from mixvae.sweeps.search_record import best_command, jobs_of, write_trials
from mixvae.sweeps.search_study import corners, has_value, opened_study, seed_sampler, suggest

RECORD = "search.yaml"
# The keys that may change when a search continues.
MAY_CHANGE = ("num_trials", "timeout_min")


def launch_sweep(arguments: Sequence[str]) -> None:
    """Run the command line of `mixvae.sweep`, given without the program's name."""
    request = parse_sweep(arguments)
    if isinstance(request, SearchRequest):
        search(request)
    else:
        finish(request)


def search(request: SearchRequest) -> None:
    """Run a search, or continue it; a wrong one is refused before anything is made."""
    check_started_alone("a search")
    if find_spec("optuna") is None:
        raise UsageError("a search needs Optuna: pip install mixvae[sweep]")
    check_space(request)
    begin(request)
    config = request.config
    if request.uses_labels:
        print(
            f"note: {config.metric} compares with labels, so the best setting is chosen with"
            " labels; say so where you report its results"
        )
    storage = request.folder / config.storage
    with claimed(RunFolder(request.folder)), opened_study(storage, config) as study:
        _Trials(request, study).run()
        if study.get_trials(deepcopy=False) and not has_value(study):
            raise ValueError("no trial of the search has finished")


def check_space(request: SearchRequest) -> None:
    """Compose and check a run at every end of the searched ranges, and with every choice."""
    ends = {key: corners(key, node) for key, node in request.config.space.items()}
    for index in range(max(map(len, ends.values()))):
        values = {key: options[index % len(options)] for key, options in ends.items()}
        compose_jobs(Command(request.overrides(values, request.config.seeds[0])))


def begin(request: SearchRequest) -> None:
    """Make the search's folder, or check that it holds this search."""
    folder, config = request.folder, asdict(request.config)
    record = folder / RECORD
    if record.is_file():
        before = yaml.safe_load(record.read_text(encoding="utf-8"))
        for key, value in config.items():
            if key not in MAY_CHANGE and before.get(key) != value:
                raise UsageError(
                    f"{folder} holds a search with {key}={before.get(key)}, not {value}; continue"
                    " that one, or choose another out=FOLDER"
                )
    elif is_taken(folder):
        raise UsageError(f"{folder} is not empty and holds no search; choose another out=FOLDER")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(record, "# The search in this folder.\n" + yaml.safe_dump(config, sort_keys=False))


class _Trials:
    """The trials of a search."""

    def __init__(self, request: SearchRequest, study: Any) -> None:
        self.request, self.study, self.config = request, study, request.config

    def run(self) -> None:
        """Continue the stopped trials, run new ones, and write the results."""
        minutes = self.config.timeout_min
        seed_sampler(self.study, self.config)
        try:
            self.study.optimize(
                self._objective,
                n_trials=self._num_left(),
                timeout=None if minutes is None else 60 * minutes,
                callbacks=[lambda study, _: seed_sampler(study, self.config)],
            )
            if self._num_left() > 0:
                print(f"timeout_min={minutes} is over: no further trial starts")
        finally:
            self._write_results()

    def _num_left(self) -> int:
        trials = self.study.get_trials(deepcopy=False)
        return self.config.num_trials - sum(trial.state.is_finished() for trial in trials)

    def _objective(self, trial: Any) -> float:
        """Run a trial's jobs and return the mean of the metric, NaN for a trial that failed."""
        import optuna

        from mixvae.callbacks.reporting import RunPruned, UnknownMetricError

        setting = suggest(trial, self.config.space)
        shown = ", ".join(f"{key}={as_text(value)}" for key, value in setting.items())
        print(f"trial {trial.number}: {shown}", flush=True)
        try:
            runs = range(len(self.config.seeds))
            value = statistics.fmean(self._run(trial, setting, index) for index in runs)
        except RunPruned as stop:
            print(f"trial {trial.number}: {stop}", flush=True)
            raise optuna.TrialPruned(str(stop)) from stop
        except UnknownMetricError as error:
            raise UsageError(
                f"{error}; remove {self.request.folder}, or choose another out=FOLDER"
            ) from error
        except KeyboardInterrupt as stop:
            # Optuna would record the trial as failed; a running one is resumed.
            raise SystemExit(INTERRUPTED) from stop
        except Exception as error:
            self._record_failure(trial, setting, message_of(error))
            return math.nan  # Optuna records a failed trial and goes on.
        print(f"trial {trial.number}: {self.config.metric} {value:.6g}", flush=True)
        return value

    def _run(self, trial: Any, setting: Mapping[str, Scalar], index: int) -> float:
        """Run a trial's job with one of the seeds and return its metric."""
        # Here, so that a wrong search is refused before PyTorch is imported.
        from mixvae.callbacks.reporting import Reporting, UnknownMetricError, unknown_metric
        from mixvae.runs.jobs import run_job

        before = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values

        def report(epochs: int, value: float) -> bool:
            # A resumed run trains an epoch again that it had reported.
            if epochs not in before:
                trial.report(value, epochs)
            return bool(trial.should_prune())

        metric, folder = self.config.metric, self._folder(trial, index)
        callbacks = [Reporting(metric, report)] if index == 0 else []
        command = Command(self.request.overrides(setting, self.config.seeds[index]))
        (job,) = compose_jobs(command)
        value = run_job(job.cfg, job.overrides, folder=folder, callbacks=callbacks)
        summary = folder.read_summary()
        if value is None and metric not in summary:
            logged = [name for name in summary if "/" in name and not name.startswith("test/")]
            raise UnknownMetricError(unknown_metric(metric, logged))
        if value is None or not math.isfinite(value):
            raise ValueError(f"{metric} is NaN or infinite")
        return value

    def _folder(self, trial: Any, index: int) -> RunFolder:
        name = jobs_of(trial.number, len(self.config.seeds))[index]
        return RunFolder((self.request.folder / name).absolute())

    def _record_failure(self, trial: Any, setting: Mapping[str, Scalar], message: str) -> None:
        """Record a failure in the study and in the job that failed."""
        from mixvae.sweeps.jobs import record_failure

        print(f"error in trial {trial.number}: {message}", file=sys.stderr, flush=True)
        trial.set_user_attr("error", message)
        for index, seed in enumerate(self.config.seeds):
            folder = self._folder(trial, index)
            if folder.status != "finished":
                record_failure(folder, self.request.overrides(setting, seed), message)
                break

    def _write_results(self) -> None:
        """Write the tables and figures, and print the best setting."""
        trials = self.study.get_trials(deepcopy=False)
        if not any(self._folder(trial, 0).path.is_dir() for trial in trials):
            return
        finish(self.request.folder)
        for path in write_trials(self.request, self.study):
            print(f"               {path}")
        if has_value(self.study):
            best = self.study.best_trial
            print(f"best           trial {best.number}: {self.config.metric} {best.value:.6g}")
            print(best_command(self.request, best.params), flush=True)
