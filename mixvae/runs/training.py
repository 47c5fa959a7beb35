"""One run from its config to its summary: build, fit, test, record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from lightning.pytorch import Callback, Trainer
from omegaconf import DictConfig

from mixvae.callbacks.lightning_parts import callbacks_of
from mixvae.callbacks.reporting import LoggedObjective
from mixvae.cli.config_file import load_config
from mixvae.cli.schema import Checkpoint, RunConfig
from mixvae.engine.checkpoint_io import check_fits
from mixvae.engine.cluster import meeting, process_rank
from mixvae.engine.csv_logger import CsvLogger
from mixvae.engine.ddp import following
from mixvae.engine.randomness import part_randomness, seed_run
from mixvae.engine.rendezvous import Rendezvous
from mixvae.engine.time_limits import time_is_over
from mixvae.messages import warn
from mixvae.runs.build import build, build_trainer
from mixvae.runs.fitting import carry_out
from mixvae.runs.folder import RunFolder, check_free, check_same, claimed, default_path
from mixvae.runs.kept_augmenter import keep_augmenter
from mixvae.runs.recording import (
    Run,
    listening,
    metrics_without_csv,
    shown,
    write_resumption,
    write_start,
)
from mixvae.runs.resume import StoppedRun, open_stopped
from mixvae.runs.trainer_settings import step_aside
from mixvae.runs.warm_start import read_weights, start_from
from mixvae.suggestions import suggestion


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
    with meeting() as rendezvous:
        if rendezvous is not None and rendezvous.rank > 0:
            _take_part(rendezvous, cfg.run_dir)
            return None
        begun = None if rendezvous is None else rendezvous.remembered()
        if begun is not None and RunFolder(begun).config.is_file():
            return _restart(rendezvous, begun, cfg.objective)
        return _begin(cfg, overrides, job_folder, command, callbacks, rendezvous)


def _begin(
    cfg: DictConfig,
    overrides: Sequence[str],
    job_folder: Path | None,
    command: Sequence[str],
    callbacks: Sequence[Callback],
    rendezvous: Rendezvous | None,
) -> float | None:
    """Train a new run, see `train`."""
    seed_run(cfg.seed, cfg.num_threads)
    may_exist = cfg.run_dir is not None or job_folder is not None
    path = _choose_path(cfg, job_folder)
    cfg.run_dir = str(path)
    warnings: list[str] = []
    start = None if cfg.init_from is None else read_weights(cfg.init_from)
    with listening(warnings):
        parts = build(cfg)
        if start is not None:
            start_from(parts.model, *start)
    made = _make_folder(cfg, path, may_exist=may_exist)
    if made != path:
        cfg.run_dir, path = str(made), made
        parts.trainer = build_trainer(cfg)
        step_aside(parts.trainer, parts.model, parts.data)
    # The default one was not asked for, and a foreign model may have other names.
    own = [LoggedObjective(cfg.objective)] if cfg.objective != RunConfig.objective else []
    _add(parts.trainer, callbacks or own)
    folder = RunFolder(path)
    with claimed(folder):
        if rendezvous is not None:
            rendezvous.remember(path)
        write_start(folder, cfg, overrides, command)
        keep_augmenter(folder, cfg)
        group = None if job_folder is None else job_folder.parent.name
        return carry_out(Run(folder, cfg, parts, warnings=warnings), group, rendezvous)


def resume(
    path: Path,
    max_epochs: int | None = None,
    group: str | None = None,
    *,
    callbacks: Sequence[Callback] = (),
) -> float | None:
    """Continue a stopped run to the same end as if it had never stopped.

    Args:
        max_epochs: Train up to so many epochs, where that is more than the run was to have.
        group: W&B group of the sweep that the run is part of, if any.

    Raises:
        RunPruned: If one of `callbacks` stops the run; its summary then says so.
    """
    with meeting() as rendezvous:
        if rendezvous is not None and rendezvous.rank > 0:
            _take_part(rendezvous, path)
            return None
        if rendezvous is not None and rendezvous.remembered() is not None:
            return _restart(rendezvous, path.absolute(), "")
        return _continue(path, max_epochs, group, callbacks, rendezvous)


def _restart(rendezvous: Rendezvous | None, path: Path, objective: str) -> float | None:
    """Go on with the run that an earlier start by the same torchrun began."""
    folder = RunFolder(path)
    if folder.status != "finished":
        return _continue(path, None, None, (), rendezvous)
    if rendezvous is not None:
        rendezvous.tell({"over": 0})
    value = folder.read_summary().get(objective)
    return None if value is None else float(value)


def _continue(
    path: Path,
    max_epochs: int | None,
    group: str | None,
    callbacks: Sequence[Callback],
    rendezvous: Rendezvous | None,
) -> float | None:
    """Continue a run, see `resume`."""
    folder = RunFolder(path.absolute())
    command = (
        [f"resume={path}"]
        if max_epochs is None
        else [f"resume={path}", f"trainer.max_epochs={max_epochs}"]
    )
    stopped = open_stopped(folder, max_epochs)
    with claimed(folder):
        seed_run(stopped.cfg.seed, stopped.cfg.num_threads)
        with listening(stopped.warnings), folder.telling_origin():
            if folder.is_edited:
                warn(
                    f"{shown(folder.config)} was edited since the run began: its further epochs"
                    " follow other settings, and another seed tests samples that it trained on"
                )
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
        if rendezvous is not None:
            rendezvous.remember(folder.path)
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
        return carry_out(run, group, rendezvous, start)


def _take_part(rendezvous: Rendezvous, asked: str | Path | None) -> None:
    """Train in a run that rank zero leads, as one of its further devices.

    The config is the one in the run's folder.
    """
    with following(rendezvous) as message:
        folder = RunFolder(Path(message["folder"]))
        check_same(folder, message["id"], asked)
        cfg = load_config(folder.config)
        seed_run(cfg.seed, cfg.num_threads)
        parts = build(cfg)
        if cfg.init_from is not None and not message["resumed"]:
            start_from(parts.model, *read_weights(cfg.init_from))
        part_randomness(cfg.seed, process_rank())
        checkpoint = folder.last_checkpoint if message["resumed"] else None
        carry_out(Run(folder, cfg, parts), None, rendezvous, checkpoint)


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
