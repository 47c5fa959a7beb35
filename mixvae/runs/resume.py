"""Opens a stopped run again, or says why it cannot be continued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from mixvae.callbacks.checkpoints import Checkpoints, ended_of
from mixvae.callbacks.pruning import Pruning
from mixvae.cli.config_file import load_trusted, resolved
from mixvae.cli.constructors import check_constructors
from mixvae.engine.checkpoint_io import load_checkpoint
from mixvae.runs.folder import RunFolder
from mixvae.runs.kept_augmenter import use_kept_augmenter


@dataclass
class StoppedRun:
    """A run that can be resumed.

    Attributes:
        checkpoint: None if it stopped before the first one.
        epoch: The epoch to train next, from 0.
        step: The step to train next, from 0, as loggers count them.
    """

    cfg: DictConfig
    checkpoint: dict[str, Any] | None
    epoch: int
    step: int
    warnings: list[str]
    seconds: float


def open_run(folder: RunFolder) -> DictConfig:
    """Read and close the config of a run, which may be someone else's: only known code is built."""
    if not folder.path.exists():
        raise FileNotFoundError(f"there is no run folder {folder.path}")
    if not folder.path.is_dir():
        raise NotADirectoryError(f"{folder.path} is a file, not a run folder")
    if not folder.config.is_file():
        raise ValueError(f"{folder.path} is no run folder: it holds no {folder.config.name}")
    cfg = load_trusted(folder.config)
    use_kept_augmenter(folder, cfg)
    check_constructors(resolved(cfg))
    return cfg


def open_stopped(folder: RunFolder, max_epochs: int | None = None) -> StoppedRun:
    """Open a stopped run."""
    cfg = open_run(folder)
    path = folder.last_checkpoint
    if not path.exists() and folder.checkpoints["best"].exists():
        raise ValueError(f"run {folder.path} cannot go on: {path} is missing")
    checkpoint = load_checkpoint(path) if path.exists() else None
    epoch = 0 if checkpoint is None else int(checkpoint["epoch"])
    pruned = _end_of_pruning(checkpoint)
    if pruned is not None and (max_epochs is not None or folder.status == "finished"):
        raise ValueError(
            f"run {folder.path} cannot be trained longer: its pruning ended after {epoch} epochs"
            f" ({pruned}); begin a new run with other callbacks.pruning settings"
        )
    if max_epochs is not None:
        if max_epochs <= epoch:
            raise ValueError(
                f"trainer.max_epochs={max_epochs} asks for nothing:"
                f" run {folder.path} has already trained {epoch} epochs"
            )
        steps = 0 if checkpoint is None else int(checkpoint["global_step"])
        most = cfg.trainer.get("max_steps", -1)
        if 0 <= most <= steps:
            raise ValueError(
                f"run {folder.path} cannot be trained longer: it has made the {most} steps of its"
                " trainer.max_steps; begin a new run with more"
            )
        if max_epochs == _ended_of(checkpoint):
            raise ValueError(
                f"trainer.max_epochs={max_epochs} asks for nothing: the training of run"
                f" {folder.path} ended with it after {epoch} epochs"
            )
        cfg.trainer.max_epochs = max_epochs
    elif folder.status == "finished":
        more = 2 * epoch or 1
        raise ValueError(
            f"run {folder.path} is finished after {epoch} epochs; to train it longer, add"
            f" trainer.max_epochs={more + (more == _ended_of(checkpoint))}"
        )
    summary = folder.read_summary()
    # What a finished run warned of, it said of its test, which is done again.
    warnings = [] if folder.status == "finished" else list(summary.get("warnings", []))
    seconds = float(summary.get("seconds", 0.0))
    return StoppedRun(cfg, checkpoint, epoch, _logged_steps(checkpoint), warnings, seconds)


def _logged_steps(checkpoint: dict[str, Any] | None) -> int:
    """Number of steps as Lightning logs them: one for a batch, however many optimisers."""
    if checkpoint is None:
        return 0
    return int(checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"])


def _ended_of(checkpoint: dict[str, Any] | None) -> int | None:
    """Return the max_epochs at which training ended; None if it has not ended."""
    states = {} if checkpoint is None else checkpoint.get("callbacks", {})
    return ended_of(states.get(Checkpoints.__qualname__, {}))


def _end_of_pruning(checkpoint: dict[str, Any] | None) -> str | None:
    """Return why pruning ended, and training with it; None if it has not ended."""
    states = {} if checkpoint is None else checkpoint.get("callbacks", {})
    reason = states.get(Pruning.__qualname__, {}).get("reason")
    return None if reason is None else str(reason)
