"""One run from its config to its summary: build, fit, test, record."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import get_args

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig

from mixvae.callbacks.lightning_parts import callbacks_of
from mixvae.callbacks.reporting import LoggedObjective, RunPruned, unknown_metric
from mixvae.cli.config_file import load_config
from mixvae.cli.schema import Checkpoint, RunConfig
from mixvae.engine.checkpoint_io import check_fits
from mixvae.engine.csv_logger import CsvLogger
from mixvae.engine.ddp import process_rank, share_cores, sharing_the_run
from mixvae.engine.randomness import part_randomness, seed_run
from mixvae.engine.time_limits import heeding_time_limits, time_is_over
from mixvae.messages import warn
from mixvae.runs.build import build, build_trainer
from mixvae.runs.folder import RunFolder, check_free, claimed, default_path
from mixvae.runs.kept_augmenter import keep_augmenter
from mixvae.runs.recording import (
    Run,
    listening,
    metrics_without_csv,
    print_result,
    shown,
    start_loggers,
    tell_tested_split,
    write_resumption,
    write_start,
    write_summary,
    write_trained,
)
from mixvae.runs.resume import StoppedRun, open_stopped
from mixvae.suggestions import suggestion

INTERRUPTED = 130
TERMINATED = 143
RESUMED = "resumed"


def train(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    job_folder: Path | None = None,
    *,
    command: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
) -> float | None:
    """Train, test and record a new run.

    Args:
        cfg: A closed config.
        overrides: Lines that it was composed from, to be kept.
        job_folder: Folder of this job in a sweep, whose parent's name is the W&B group.
        command: Arguments of `mixvae.train` that run the same again.
        callbacks: More callbacks than the config's; what is saved does not depend on them.

    Returns:
        The metric `objective` of the config, None if it was not logged.

    Raises:
        ValueError: If a value is out of range; then no folder was made.
        RunPruned: If one of `callbacks` stops the run; its summary then says so.
    """
    if cfg.test_checkpoint not in get_args(Checkpoint):
        near = suggestion(cfg.test_checkpoint, get_args(Checkpoint))
        raise ValueError(f"test_checkpoint is {cfg.test_checkpoint!r}{near}")
    seed_run(cfg.seed, cfg.num_threads)
    may_exist = cfg.run_dir is not None or job_folder is not None
    path = _choose_path(cfg, job_folder)
    cfg.run_dir = str(path)
    warnings: list[str] = []
    with listening(warnings):
        parts = build(cfg)
    made = _make_folder(cfg, path, may_exist=may_exist)
    if made != path:
        cfg.run_dir, path = str(made), made
        parts.trainer = build_trainer(cfg)
    _add(parts.trainer, callbacks or [LoggedObjective(cfg.objective)])
    folder = RunFolder(path)
    with claimed(folder):
        write_start(folder, cfg, overrides, command)
        keep_augmenter(folder, cfg)
        group = None if job_folder is None else job_folder.parent.name
        return _carry_out(Run(folder, cfg, parts, warnings=warnings), group)


def resume(
    path: Path,
    max_epochs: int | None = None,
    group: str | None = None,
    *,
    callbacks: Sequence[Callback] = (),
) -> float | None:
    """Continue a stopped run to the same end as if it had never stopped.

    Args:
        path: The run's folder.
        max_epochs: Train up to so many epochs, where that is more than the run was to have.
        group: W&B group of the sweep that the run is part of, if any.
        callbacks: More callbacks than the config's, see `train`.

    Returns:
        The metric `objective` of the config, None if it was not logged.

    Raises:
        OSError: If there is no such folder.
        ValueError: If it is no run, or a finished one, or its checkpoint cannot be used.
        RunPruned: If one of `callbacks` stops the run; its summary then says so.
    """
    folder = RunFolder(path.absolute())
    command = (
        [f"resume={path}"]
        if max_epochs is None
        else [f"resume={path}", f"trainer.max_epochs={max_epochs}"]
    )
    stopped = open_stopped(folder, max_epochs)
    with claimed(folder):
        seed_run(stopped.cfg.seed, stopped.cfg.num_threads)
        with listening(stopped.warnings):
            parts = build(stopped.cfg)
            metrics_before = metrics_without_csv(folder, parts.trainer, stopped.epoch)
        if stopped.checkpoint is not None:
            last = folder.last_checkpoint
            check_fits(stopped.checkpoint, parts.model, last, parts.spec)
            if max_epochs is not None and time_is_over(parts.trainer, stopped.checkpoint):
                raise ValueError(
                    f"run {folder.path} cannot be trained longer: its trainer.max_time"
                    f" {stopped.cfg.trainer.max_time} is over; begin a new run with more"
                )
        _add(parts.trainer, callbacks)
        _rewind_logs(parts.trainer, stopped)
        write_resumption(folder, stopped.cfg, stopped.epoch, command)
        print(f"resuming {shown(folder.path)} at epoch {stopped.epoch + 1}", flush=True)
        start = None if stopped.checkpoint is None else folder.last_checkpoint
        run = Run(
            folder,
            stopped.cfg,
            parts,
            metrics_before=metrics_before,
            warnings=stopped.warnings,
            seconds_before=stopped.seconds,
        )
        return _carry_out(run, group, start)


def join(path: Path, *, resumed: bool) -> None:
    """Take part in a run that another process has begun, as one of its further devices.

    Args:
        path: The run's folder, its config written.
        resumed: Whether the run goes on from its last checkpoint.
    """
    folder = RunFolder(path)
    cfg = load_config(folder.config)
    seed_run(cfg.seed, cfg.num_threads)
    parts = build(cfg)
    share_cores(cfg.num_threads, parts.trainer.num_devices)
    part_randomness(cfg.seed, process_rank())
    _carry_out(Run(folder, cfg, parts), None, folder.last_checkpoint if resumed else None)


def _add(trainer: Trainer, callbacks: Sequence[Callback]) -> None:
    """Add callbacks behind the config's, which have then logged and saved an epoch."""
    callbacks_of(trainer).extend(callbacks)


def _rewind_logs(trainer: Trainer, stopped: StoppedRun) -> None:
    for logger in trainer.loggers:
        if isinstance(logger, CsvLogger):
            logger.drop_from(stopped.epoch, stopped.step)


def _choose_path(cfg: DictConfig, job_folder: Path | None) -> Path:
    default = default_path(cfg.name)
    path = Path(cfg.run_dir).expanduser().absolute() if cfg.run_dir else job_folder or default
    check_free(path)
    return path


def _make_folder(cfg: DictConfig, path: Path, *, may_exist: bool) -> Path:
    """Make the folder, under another name if another run took this one in the meantime."""
    while True:
        try:
            path.mkdir(parents=True, exist_ok=may_exist)
        except FileExistsError:
            path = default_path(cfg.name)
        else:
            return path


def _carry_out(run: Run, group: str | None, checkpoint: Path | None = None) -> float | None:
    """Fit, test and record; whatever happens, the summary says how it ended.

    After an interrupt, Ctrl-C stays without effect: the process is about to end, and a second one
    would only break its last words.
    """
    status = "failed"
    others = [str(run.folder.path), *([] if checkpoint is None else [RESUMED])]
    try:
        with (
            listening(run.warnings, run.folder.summary),
            heeding_time_limits(),
            sharing_the_run(run.parts.trainer, others, run.cfg.num_threads),
        ):
            start_loggers(run, group)
            _fit(run, checkpoint)
            if process_rank() == 0:
                write_trained(run)
            _test(run)
        status = "finished"
    except RunPruned:
        status = "pruned"
        raise
    except (KeyboardInterrupt, SystemExit) as stop:
        _ignore_interrupts()
        status = "interrupted"
        raise SystemExit(_exit_status(stop)) from stop
    finally:
        if process_rank() == 0:
            # Where nothing can be written, the error that says so is not to be replaced.
            with suppress(OSError) if status == "failed" else nullcontext():
                write_summary(run, status)
            _say_how_it_ended(run, status)
    return run.metrics.get(run.cfg.objective)


def _fit(run: Run, checkpoint: Path | None) -> None:
    trainer, model, data = run.parts.trainer, run.parts.model, run.parts.data
    trainer.fit(model, datamodule=data, ckpt_path=None if checkpoint is None else str(checkpoint))
    ended_early = trainer.max_epochs is None or trainer.current_epoch < trainer.max_epochs
    if ended_early and time_is_over(trainer):
        warn(
            f"training ended after {trainer.current_epoch} of {trainer.max_epochs} epochs:"
            f" trainer.max_time {run.cfg.trainer.max_time} is over"
        )


def _test(run: Run) -> None:
    """Test with the checkpoint asked for, or with the weights at hand where there is none."""
    path = run.folder.checkpoints[run.cfg.test_checkpoint]
    kept = run.checkpoints is not None and path.is_file()
    run.tested = str(path.relative_to(run.folder.path)) if kept else None
    tell_tested_split(run.parts.data)
    run.parts.trainer.test(
        run.parts.model,
        datamodule=run.parts.data,
        ckpt_path=str(path) if kept else None,
        verbose=False,
    )
    objective = run.cfg.objective
    if objective not in run.metrics and objective != RunConfig.objective:
        warn(unknown_metric(objective, list(run.metrics), "objective"))


def _ignore_interrupts() -> None:
    """Let the summary be written though the user presses Ctrl-C again."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _exit_status(stop: BaseException) -> int:
    return TERMINATED if isinstance(stop, SIGTERMException) else INTERRUPTED


def _say_how_it_ended(run: Run, status: str) -> None:
    """Print the result, or how to go on; a failure is told where its error arrives."""
    if status == "finished":
        print_result(run)
    elif status == "interrupted":
        going_on = shlex.quote(f"resume={shown(run.folder.path)}")
        print(
            f"interrupted after {run.parts.trainer.current_epoch} whole epochs, {_saved(run)};"
            f" to continue: python -m mixvae.train {going_on}",
            file=sys.stderr,
            flush=True,
        )


def _saved(run: Run) -> str:
    """What a stopped run goes on from."""
    epochs = None if run.checkpoints is None else run.checkpoints.saved_epochs
    last = shown(run.folder.last_checkpoint)
    if epochs is None:
        return f"saved in {last}" if run.folder.last_checkpoint.is_file() else "none of them saved"
    if epochs < run.parts.trainer.current_epoch:
        return f"of which {epochs} are saved in {last}"
    return f"saved in {last}"
