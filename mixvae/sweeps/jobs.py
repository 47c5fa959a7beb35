"""One job as Hydra starts it: alone, or as part of a sweep."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch import Callback
from omegaconf import DictConfig

from mixvae.callbacks.reporting import RunPruned
from mixvae.cli.errors import JobError, message_of
from mixvae.cli.hydra_call import ASKED_FOR_TRACEBACKS
from mixvae.engine.devices import take_gpu, threads_for_each, visible_gpus
from mixvae.files import write_json, write_text
from mixvae.runs.folder import LOCK, HeldError, RunFolder, claimed, free_path
from mixvae.runs.training import resume, train
from mixvae.sweeps.numbered_output import numbered_output
from mixvae.sweeps.resuming import FAILED_MARK


def run_job(cfg: DictConfig) -> float | None:
    """Train; in a sweep, tell a failure and let the other jobs go on.

    Args:
        cfg: The config that Hydra composed.

    Returns:
        The metric `objective` of the config; None for a job of a sweep that failed.

    Raises:
        JobError: If it failed and is no part of a sweep.
    """
    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    if hydra.mode != RunMode.MULTIRUN:
        try:
            return train(cfg, overrides)
        except Exception as error:
            raise JobError(error) from error
    folder, at_a_time = RunFolder(Path(hydra.runtime.output_dir)), hydra.launcher.get("n_jobs")
    with nullcontext() if at_a_time in (None, 1) else numbered_output(f"[{hydra.job.num}] "):
        return _run_in_sweep(cfg, overrides, folder, hydra)


def _run_in_sweep(
    cfg: DictConfig, overrides: list[str], folder: RunFolder, hydra: Any
) -> float | None:
    """Run a job of a sweep; None where it failed or another process has it, which is told."""
    try:
        _share_machine(cfg, hydra.launcher.get("n_jobs"), folder.path.parent)
        before = " (finished before)" if folder.status == "finished" else ""
        print(f"job {hydra.job.num}: {' '.join(overrides)}{before}", flush=True)
        return carry_out(cfg, overrides, folder)
    except HeldError:
        print(f"job {hydra.job.num}: another process runs it, and goes on with it", flush=True)
        return None
    except Exception as error:
        message = message_of(error)
        print(f"error in job {hydra.job.num}: {message}", file=sys.stderr, flush=True)
        if cfg.debug or os.environ.get(ASKED_FOR_TRACEBACKS):
            traceback.print_exception(error)
        record_failure(folder, overrides, message)
        # Told at the end of the sweep: an exception here would keep Hydra from the other jobs.
        return None


def _share_machine(cfg: DictConfig, num_jobs: int | None, sweep: Path) -> None:
    """Give a job that runs beside others its own GPU, or its part of the cores."""
    if num_jobs is None or num_jobs == 1:
        return
    if cfg.num_threads is None:
        cfg.num_threads = threads_for_each(num_jobs)
    if cfg.trainer.get("accelerator") in ("gpu", "cuda", "auto"):
        take_gpu(sweep, visible_gpus(torch.cuda.device_count()), num_jobs)


def carry_out(
    cfg: DictConfig, overrides: list[str], folder: RunFolder, callbacks: Sequence[Callback] = ()
) -> float | None:
    """Do what is left to do of a job: all of it, the rest of it, or nothing.

    Args:
        cfg: Its config.
        overrides: What it overrides.
        folder: Its folder, which may hold what an earlier try left.
        callbacks: More callbacks than the config's.

    Returns:
        The metric `objective` of the config; None where it was not logged.

    Raises:
        HeldError: If another process runs it; then nothing was changed.
        RunPruned: If one of `callbacks` stops the run, or it was stopped so before.
    """
    status = folder.status
    if status == "finished":
        value = folder.read_summary().get(cfg.objective)
        return None if value is None else float(value)
    if status == "pruned":
        raise RunPruned("pruned before")
    if status in ("interrupted", "running"):
        return resume(folder.path, group=folder.path.parent.name, callbacks=callbacks)
    folder.path.mkdir(parents=True, exist_ok=True)
    _move_aside(folder)
    return train(cfg, overrides, folder.path, callbacks)


def _move_aside(folder: RunFolder) -> None:
    """Empty the folder of a job that is to run again: what it left may tell why it failed."""
    with claimed(folder):
        left = [path for path in folder.path.iterdir() if path.name != LOCK]
        if not left:
            return
        aside = free_path(folder.path.with_name(folder.path.name + FAILED_MARK))
        aside.mkdir()
        for path in left:
            path.rename(aside / path.name)


def record_failure(folder: RunFolder, overrides: list[str], message: str) -> None:
    """Leave word of a job that failed, also where it failed before it wrote anything.

    Args:
        folder: Its folder.
        overrides: What it overrides.
        message: Why it failed.
    """
    # Where another process has it meanwhile, it is no failure.
    with suppress(OSError, HeldError):
        folder.path.mkdir(parents=True, exist_ok=True)
        with claimed(folder):
            if not folder.overrides.exists():
                write_text(folder.overrides, "".join(f"{line}\n" for line in overrides))
            summary = {**folder.read_summary(), "status": "failed", "error": message}
            write_json(folder.summary, summary)
