"""The one door to a run: every command, job of a sweep, trial and rank comes through here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import Callback
from omegaconf import DictConfig

from mixvae.callbacks.reporting import RunPruned
from mixvae.cli.command import key_of
from mixvae.runs.folder import LOCK, RunFolder, claimed, free_path
from mixvae.runs.training import resume, train

# In the name of the folder that a failed job's files are moved to, so that it can run again.
FAILED_MARK = "_failed"


def run_job(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    flags: Sequence[str] = (),
    *,
    folder: RunFolder | None = None,
    callbacks: Sequence[Callback] = (),
) -> float | None:
    """Do a job, or what is left of it: all, the rest, or nothing.

    Args:
        cfg: Its closed and checked config; `resume` continues the run in that folder.
        flags: Options of `mixvae.train` that say where configs lie; with the overrides they run
            the same job again.
        folder: Folder of a job in a sweep; its status says what is left.
        callbacks: More callbacks than the config's; what is saved does not depend on them.

    Returns:
        The metric `objective` of the config; None if it was not logged.

    Raises:
        HeldError: If another process runs it; then nothing was changed.
        RunPruned: If one of `callbacks` stops the run, or stopped it before.
    """
    if cfg.resume is not None:
        longer = any(key_of(line) == "trainer.max_epochs" for line in overrides)
        path = Path(cfg.resume).expanduser()
        return resume(path, cfg.trainer.max_epochs if longer else None, callbacks=callbacks)
    command = [*flags, *overrides]
    if folder is None:
        return train(cfg, overrides, command=command, callbacks=callbacks)
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
    return train(cfg, overrides, folder.path, command=command, callbacks=callbacks)


def _move_aside(folder: RunFolder) -> None:
    """Empty the folder of a job that is to run again: its files may tell why it failed."""
    with claimed(folder):
        left = [path for path in folder.path.iterdir() if path.name != LOCK]
        if not left:
            return
        aside = free_path(folder.path.with_name(folder.path.name + FAILED_MARK))
        aside.mkdir()
        for path in left:
            path.rename(aside / path.name)
