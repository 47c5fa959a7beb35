"""Records a run: files at its start, summary, warnings, and the result that is printed."""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from omegaconf import DictConfig

from mixvae.callbacks.checkpoints import Checkpoints
from mixvae.callbacks.collecting import tested_split
from mixvae.callbacks.lightning_parts import callbacks_of, is_debugging
from mixvae.cli.command import key_of
from mixvae.cli.config_file import resolved, save_config
from mixvae.cli.errors import message_of
from mixvae.cli.trust import accept
from mixvae.engine.cluster import process_rank
from mixvae.engine.recorders import RunRecorder
from mixvae.files import (
    last_values,
    read_metrics,
    remove_leftovers,
    write_json,
    write_text,
)
from mixvae.messages import warn
from mixvae.runs.build import Parts
from mixvae.runs.folder import RunFolder
from mixvae.runs.provenance import describe_provenance, imported_versions

# Overrides that change no result, or that a run's name tells otherwise.
UNNAMED = {
    *("experiment", "name", "tags", "seed", "run_dir", "data_root", "num_threads", "logger"),
    *("report", "hydra", "traceback", "objective"),
}


@dataclass
class Run:
    """A run in progress.

    Attributes:
        tested: The checkpoint that was tested, relative to the folder; None for none.
        metrics_before: Last metrics of a run that was resumed without a metrics.csv.
    """

    folder: RunFolder
    cfg: DictConfig
    parts: Parts
    tested: str | None = None
    warnings: list[str] = field(default_factory=list)
    metrics_before: dict[str, float] = field(default_factory=dict)
    seconds_before: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Training time so far, without the time between a stop and a resume."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def checkpoints(self) -> Checkpoints | None:
        """The callback that keeps checkpoints, if the config has one."""
        found = callbacks_of(self.parts.trainer)
        return next((item for item in found if isinstance(item, Checkpoints)), None)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric in metrics.csv, which a debugging run does not write."""
        if is_debugging(self.parts.trainer):
            logged = self.parts.trainer.callback_metrics
            return {name: float(value) for name, value in logged.items()}
        return {**self.metrics_before, **last_values(read_metrics(self.folder.metrics))}


def write_start(
    folder: RunFolder, cfg: DictConfig, overrides: Sequence[str], command: Sequence[str]
) -> None:
    """Write what is known before training; `provenance.json` also holds the run's id."""
    remove_leftovers(folder.path)
    save_config(cfg, folder.config)
    accept(folder.path, [resolved(cfg)])
    write_text(folder.overrides, "".join(f"{line}\n" for line in overrides))
    own = {"id": uuid.uuid4().hex[:8], "config_hash": folder.config_hash}
    write_json(folder.provenance, {**own, **describe_provenance(command)})
    write_json(folder.summary, {"status": "running", "name": cfg.name, "seed": cfg.seed})


def write_resumption(
    folder: RunFolder, cfg: DictConfig, epoch: int, command: Sequence[str]
) -> None:
    """Record that a run is resumed at an epoch, counted from 0."""
    remove_leftovers(folder.path)
    save_config(cfg, folder.config)
    provenance = folder.read_provenance()
    history = [*provenance.get("resumed", []), {"epoch": epoch, **describe_provenance(command)}]
    changed = {"config_hash": folder.config_hash, "resumed": history}
    write_json(folder.provenance, {**provenance, **changed})
    write_json(folder.summary, {**folder.read_summary(), "status": "running"})


def start_loggers(run: Run, group: str | None) -> None:
    """Give each logger the config and its origin, and W&B the run's id, name and group."""
    provenance = run.folder.read_provenance()
    overrides = run.folder.read_overrides()
    origin = {
        "overrides": overrides,
        "git_commit": provenance.get("git_commit"),
        "git_dirty": provenance.get("git_dirty"),
        **_sizes(run),
    }
    for logger in run.parts.trainer.loggers:
        if isinstance(logger, RunRecorder):
            name = display_name(run.cfg.name, overrides, run.cfg.seed)
            logger.identify(str(provenance.get("id", run.folder.path.name)), group, name)
        logger.log_hyperparams({**resolved(run.cfg), "run": origin})


def display_name(name: str, overrides: Sequence[str], seed: int) -> str:
    """Return a name that tells runs apart: the experiment, its overrides and the seed."""
    changed = [line for line in overrides if key_of(line).split(".")[0] not in UNNAMED]
    short = [re.sub(r"^[+~]*(?:\w+\.)*", "", line) for line in changed]
    return " ".join([name, *short, f"seed={seed}"])


def _sizes(run: Run) -> dict[str, int | str]:
    count = sum(weight.numel() for weight in run.parts.model.parameters())
    return {"num_parameters": count, "data_sizes": str(run.parts.data)}


def write_trained(run: Run) -> None:
    """Write the training metrics before the test, in which the run may be stopped."""
    write_json(run.folder.summary, {**run.folder.read_summary(), **run.metrics})


def metrics_without_csv(folder: RunFolder, trainer: Trainer, epoch: int) -> dict[str, float]:
    """Return the last metrics of an older run that is resumed without a metrics.csv."""
    if epoch < (trainer.check_val_every_n_epoch or 1) or last_values(read_metrics(folder.metrics)):
        return {}
    warn(
        f"{folder.metrics} is {'empty' if folder.metrics.is_file() else 'missing'}: metrics and"
        f" learning curves of the first {epoch} epochs are not in the new one"
    )
    return {
        name: float(value)
        for name, value in folder.read_summary().items()
        if "/" in name and not name.startswith("test/") and isinstance(value, int | float)
    }


def write_summary(run: Run, status: str) -> dict[str, Any]:
    """Write summary.json, of a failed run with the error in flight, and end the loggers."""
    trainer, checkpoints = run.parts.trainer, run.checkpoints
    error = sys.exc_info()[1] if status == "failed" else None
    choices = getattr(run.parts.model, "choices", {})
    summary = {
        "status": status,
        "name": run.cfg.name,
        "seed": run.cfg.seed,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seconds": round(run.seconds, 2),
        "precision": str(trainer.precision),
        "best_epoch": None if checkpoints is None else checkpoints.best_epoch,
        "tested_checkpoint": run.tested,
        "tested_split": tested_split(run.parts.data),
        **_sizes(run),
        **({} if error is None else {"error": message_of(error)}),
        "warnings": run.warnings,
        **({"choices": choices} if choices else {}),
        **dict(sorted(run.metrics.items())),
    }
    write_json(run.folder.summary, summary)
    provenance = run.folder.read_provenance()
    if provenance:
        # Also what was imported since the start, such as matplotlib for the figures.
        (provenance.get("resumed") or [provenance])[-1]["versions"] = imported_versions()
        write_json(run.folder.provenance, provenance)
    for logger in trainer.loggers:
        if isinstance(logger, RunRecorder):
            logger.finish(summary, failed=status == "failed")
    return summary


def tell_tested_split(data: object) -> None:
    """Warn if the test metrics are those of another split."""
    split = tested_split(data)
    if split != "test":
        warn(
            f"data.predict_split is {split}: test/... are measures of the {split} split, and so are"
            " predictions and figures"
        )


def shown(path: Path) -> str:
    """Return a path as short as it can be typed from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def listening(warnings: list[str], summary: Path | None = None) -> Iterator[None]:
    """Print mixvae's log messages and keep its warnings, at once in `summary` if one is given."""
    logger = logging.getLogger("mixvae")
    keeper = _Keeper(warnings, summary if process_rank() == 0 else None)
    printer = logging.StreamHandler(sys.stderr)
    printer.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(keeper)
    # A caller may print what all loggers say; the other processes of a run would say the same.
    theirs = any(type(one) is logging.StreamHandler for one in logging.getLogger().handlers)
    if process_rank() == 0 and not (theirs and logger.propagate):
        logger.addHandler(printer)
    try:
        yield
    finally:
        logger.removeHandler(keeper)
        logger.removeHandler(printer)
        logger.setLevel(level)


class _Keeper(logging.Handler):
    def __init__(self, kept: list[str], summary: Path | None) -> None:
        super().__init__(logging.WARNING)
        self.kept = kept
        self.summary = summary

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        # A resumed run repeats its last epoch, and may say the same again.
        if message in self.kept:
            return
        self.kept.append(message)
        if self.summary is not None:
            content = RunFolder(self.summary.parent).read_summary()
            write_json(self.summary, {**content, "warnings": self.kept})
