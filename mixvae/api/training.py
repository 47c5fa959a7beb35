"""Trains a run from Python, by the same door as the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvae.api.giving import given_lines
from mixvae.api.isolation import undisturbed
from mixvae.api.trained import Run
from mixvae.cli.command import Command, key_of, parse
from mixvae.cli.compose import compose_jobs
from mixvae.cli.errors import UsageError
from mixvae.data.files.given import giving
from mixvae.runs.jobs import run_job

# In a notebook, figures and metrics are at hand; W&B would go on running beside it.
QUIET = "logger=csv"


def train(
    experiment: str | None = None, *overrides: str, data: Any = None, labels: Any = None
) -> Run:
    """Train, test and record a run: `mixvae.train("images_cpl", "seed=1", data=images)`.

    Nothing else of the process changes: random states, threads, environment, warnings, handlers.

    Args:
        experiment: Name of an experiment; None is the default of the command line.
        *overrides: Overrides as on the command line, such as `model.num_categories=12`.
        data: Of images an array (N, H, W), (N, H, W, C) or (N, C, H, W); of cells an AnnData
            object; of several modalities a dict of arrays or AnnData objects, or a MuData object;
            or the path of a file. None takes what the overrides name.
        labels: One for each sample, or the name of a column of `obs`, for evaluation only.

    Raises:
        ValueError: For a wrong override or wrong data, with the message of the command line.
        KeyboardInterrupt: If it was interrupted; `mixvae.open_run(folder).resume()` continues.
    """
    command = _command(experiment, overrides)
    with undisturbed():
        objects: dict[str, Any] = {}
        if data is not None:
            (job,) = compose_jobs(command)
            lines, objects = given_lines(job.cfg, data, labels)
            typed = {key_of(line) for line in command.overrides}
            if twice := [line for line in lines if key_of(line) in typed]:
                raise UsageError(
                    f"{key_of(twice[0])} is an override, and given by data= or labels= too; leave"
                    " one out"
                )
            command = _with(command, lines)
        elif labels is not None:
            raise ValueError("labels are given without data; give both, or data.labels=FILE")
        with giving(objects):
            (job,) = compose_jobs(command)
            if objects and job.cfg.trainer.get("devices", 1) not in (1, "1", "auto"):
                raise ValueError(
                    f"trainer.devices is {job.cfg.trainer.devices}, but data in memory are trained"
                    " on in one process; save them, and name the files"
                )
            run_job(job.cfg, job.overrides, command.flags)
    folder = job.cfg.run_dir if job.cfg.resume is None else job.cfg.resume
    return Run(Path(str(folder)).expanduser().absolute(), objects)


def _command(experiment: str | None, overrides: Sequence[str]) -> Command:
    for line in (experiment, *overrides):
        if line is not None and not isinstance(line, str):
            raise UsageError(
                f"an override is a text such as 'seed=1', got {type(line).__name__}; give data by"
                " name: mixvae.train('images_cpl', data=..., labels=...)"
            )
    first = [] if experiment is None else [experiment]
    if experiment is not None and not experiment.startswith("-") and "=" not in experiment:
        first = [f"+experiment={experiment}"]
    command = parse([*first, *overrides])
    if command.multirun or command.show is not None:
        raise UsageError("mixvae.train trains one run; for others use python -m mixvae.train")
    chosen = any(key_of(line) in ("logger", "resume") for line in command.overrides)
    return command if chosen else _with(command, [QUIET])


def _with(command: Command, lines: Sequence[str]) -> Command:
    return Command(
        [*command.overrides, *lines], command.config_dir, command.config_name, resolve=False
    )
