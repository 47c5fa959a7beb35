"""Fits and tests a run that has its folder, and records how it ended."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from contextlib import nullcontext, suppress
from pathlib import Path

from lightning.pytorch.utilities.exceptions import SIGTERMException

from mixvae.callbacks.lightning_parts import is_debugging
from mixvae.callbacks.reporting import RunPruned, unknown_metric
from mixvae.cli.overrides import quoted
from mixvae.cli.schema import RunConfig
from mixvae.engine.cluster import process_rank
from mixvae.engine.compiling import compile_networks
from mixvae.engine.ddp import sharing_the_run
from mixvae.engine.rendezvous import RankError, Rendezvous
from mixvae.engine.time_limits import heeding_time_limits, stopping_at_sigterm, time_is_over
from mixvae.messages import inform, warn
from mixvae.runs.closing import print_result
from mixvae.runs.recording import (
    Run,
    listening,
    shown,
    start_loggers,
    tell_tested_split,
    write_summary,
    write_trained,
)
from mixvae.runs.reviewing import write_review
from mixvae.runs.trainer_settings import untestable

INTERRUPTED = 130
TERMINATED = 143


def carry_out(
    run: Run, group: str | None, rendezvous: Rendezvous | None, checkpoint: Path | None = None
) -> float | None:
    """Fit, test and record; whatever happens, the summary says how it ended.

    After an interrupt, Ctrl-C stays without effect: the process is about to end, and a second one
    would only break its last words.

    Args:
        group: W&B group of the sweep that the run is part of, if any.
        rendezvous: Where processes meet that another program started; None for the only process.

    Returns:
        The metric `objective` of the config, None if it was not logged.

    Raises:
        RankError: If another process of the run failed or was lost.
        RunPruned: If a callback stops the run.
    """
    status = "failed"
    message = {
        "folder": str(run.folder.path),
        "id": run.folder.read_provenance().get("id"),
        "resumed": checkpoint is not None,
    }
    command = [f"resume={quoted(str(run.folder.path))}"]
    try:
        with (
            listening(run.warnings, run.folder.summary),
            heeding_time_limits(),
            sharing_the_run(run.parts.trainer, rendezvous, message, command, run.cfg.num_threads),
        ):
            start_loggers(run, group)
            _fit(run, checkpoint)
            if process_rank() == 0:
                write_trained(run)
            if run.cfg.test:
                with stopping_at_sigterm():
                    _test(run)
        status = "finished"
    except RunPruned:
        status = "pruned"
        raise
    except RankError as error:
        raise RankError(f"{error}; to continue: {_command_to_continue(run)}") from error
    except (KeyboardInterrupt, SystemExit) as stop:
        _ignore_interrupts()
        status = "interrupted"
        raise SystemExit(_exit_status(stop)) from stop
    finally:
        if process_rank() == 0:
            # Where nothing can be written, the error that says so is not to be replaced.
            with suppress(OSError) if status == "failed" else nullcontext():
                write_summary(run, status)
                if status == "finished" and run.cfg.test:
                    write_review(run.folder, run.metrics)
            _write_report(run, status)
            _say_how_it_ended(run, status)
    return run.metrics.get(run.cfg.objective)


def _fit(run: Run, checkpoint: Path | None) -> None:
    trainer, model, data = run.parts.trainer, run.parts.model, run.parts.data
    if run.cfg.compile:
        compile_networks(model)
    trainer.fit(model, datamodule=data, ckpt_path=None if checkpoint is None else str(checkpoint))
    ended_early = trainer.max_epochs is None or trainer.current_epoch < trainer.max_epochs
    if ended_early and time_is_over(trainer):
        warn(
            f"training ended after {trainer.current_epoch} of {trainer.max_epochs} epochs:"
            f" trainer.max_time {run.cfg.trainer.max_time} is over"
        )


def _test(run: Run) -> None:
    """Test with the checkpoint asked for, or with the weights at hand where there is none."""
    if lacking := untestable(run.parts.model, run.parts.data):
        inform(f"no test: {lacking}")
        return
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


def _write_report(run: Run, status: str) -> None:
    """Write the page of the run, whose results it may not endanger."""
    if status == "pruned" or is_debugging(run.parts.trainer) or not run.cfg.get("report", True):
        return
    # Parses a template and reads plotly's script: only where a page is written.
    from mixvae.reports.page import write_run_report

    try:
        write_run_report(run.folder.path)
    except (ImportError, OSError, ValueError) as error:
        with listening(run.warnings):  # the disk may be full: the summary stays as it is
            warn(f"the report was not written ({error}); results: {shown(run.folder.path)}")


def _ignore_interrupts() -> None:
    """Let the summary be written though the user presses Ctrl-C again."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _exit_status(stop: BaseException) -> int:
    return TERMINATED if isinstance(stop, SIGTERMException) else INTERRUPTED


def _say_how_it_ended(run: Run, status: str) -> None:
    """Print the result of a finished run, or the command that continues an interrupted one."""
    if status == "finished":
        print_result(run)
    elif status == "interrupted":
        print(
            f"interrupted after {run.parts.trainer.current_epoch} whole epochs, {_saved(run)};"
            f" to continue: {_command_to_continue(run)}",
            file=sys.stderr,
            flush=True,
        )


def _command_to_continue(run: Run) -> str:
    return f"python -m mixvae.train {shlex.quote(f'resume={shown(run.folder.path)}')}"


def _saved(run: Run) -> str:
    """What a stopped run goes on from."""
    epochs = None if run.checkpoints is None else run.checkpoints.saved_epochs
    last = shown(run.folder.last_checkpoint)
    if epochs is None:
        return f"saved in {last}" if run.folder.last_checkpoint.is_file() else "none of them saved"
    if epochs < run.parts.trainer.current_epoch:
        return f"of which {epochs} are saved in {last}"
    return f"saved in {last}"
