"""Multirun: a job for each combination of values, started by one of Hydra's launchers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, RunMode

from mixvae.cli.command import Command, is_hydras
from mixvae.cli.compose import Job, compose_jobs, composing
from mixvae.cli.errors import JobsFailedError, UsageError
from mixvae.cli.overrides import quoted
from mixvae.cli.requests import unquoted
from mixvae.ranks import check_started_alone
from mixvae.runs.folder import free_path
from mixvae.sweeps.resuming import begin, finish, resumed_command, split_resume

# Hydra itself writes nothing: each job makes its own folder after every check has passed.
SETTINGS = ("hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none")


def run_multirun(command: Command) -> None:
    """Run every job of a sweep, or what is left of a stopped one.

    Raises:
        JobsFailedError: If jobs have not finished; each has said why.
    """
    check_started_alone("a sweep")
    stopped, command = split_resume(command)
    kept_in = None
    if stopped is not None:
        kept_in = None if command.overrides else stopped
        command = resumed_command(stopped, command)
    jobs = compose_jobs(command, kept_in)
    folder = stopped or _sweep_folder(command, jobs[0].cfg.name)
    if stopped is None:
        begin(folder, command, jobs)
    counts: dict[str, int] = {}
    try:
        _launch(command, jobs, folder)
    finally:
        if any(path.is_dir() for path in folder.iterdir()):
            counts = finish(folder)
    _check_all_finished(counts)


def _launch(command: Command, jobs: list[Job], folder: Path) -> None:
    """Hand the jobs to the launcher; each is composed once more, in the process that runs it."""
    from mixvae.sweeps.jobs import run_sweep_job

    with composing(command) as root:
        own = [line for line in command.overrides if is_hydras(line)]
        place = f"hydra.sweep.dir={quoted(str(folder))}"
        loader: ConfigLoader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration(
            root.name, [*root.search, *SETTINGS, *own, place], RunMode.MULTIRUN
        )
        # Hydra's own class of callbacks is private; one callback that does nothing serves.
        context = HydraContext(config_loader=loader, callbacks=Callback())  # type: ignore[arg-type]
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=run_sweep_job, config=config
        )
        launcher.launch([job.overrides for job in jobs], initial_job_idx=0)


def _check_all_finished(counts: Mapping[str, int]) -> None:
    """Raise where jobs of a sweep have not finished."""
    all_jobs, running = sum(counts.values()), counts.get("running", 0)
    failed = all_jobs - counts.get("finished", 0) - running
    problems = [f"{failed} of {all_jobs} jobs of the sweep failed"] if failed else []
    if running:
        problems.append(f"{running} of {all_jobs} are run by another process")
    if problems:
        raise JobsFailedError(", ".join(problems))


def _sweep_folder(command: Command, name: str) -> Path:
    """Return the folder asked for, or one of its own, though two may start in one second."""
    for line in command.overrides:
        if line.startswith("hydra.sweep.dir="):
            folder = unquoted(line.partition("=")[2])
            if "${" in folder:
                raise UsageError(f"{line}: write the sweep's folder out")
            return Path(folder).expanduser()
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return free_path(Path("multirun") / name / stamp)
