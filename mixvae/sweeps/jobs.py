"""One job of a sweep as a launcher starts it: it shares the machine; a failure is recorded.

What jobs print at the same time comes in whole lines, each with its job's number.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mixvae.cli.compose import leave_networks_out
from mixvae.cli.config_file import close
from mixvae.cli.errors import message_of, wants_traceback
from mixvae.engine.devices import take_gpu, threads_for_each, visible_gpus
from mixvae.files import write_json, write_text
from mixvae.runs.folder import HeldError, RunFolder, claimed
from mixvae.runs.jobs import run_job
from mixvae.sweeps.resuming import read_command


def run_sweep_job(cfg: DictConfig) -> float | None:
    """Run a job of a multirun; its failure is printed, and the other jobs go on.

    Returns:
        The metric `objective` of the config; None if the job failed or another process has it.
    """
    hydra = HydraConfig.get()
    at_a_time, number = hydra.launcher.get("n_jobs"), hydra.job.num
    overrides = list(hydra.overrides.task)
    folder = RunFolder(Path(hydra.runtime.output_dir))
    with nullcontext() if at_a_time in (None, 1) else numbered_output(f"[{number}] "):
        try:
            cfg = close(cfg)
            leave_networks_out(cfg, overrides)
            _share_machine(cfg, at_a_time, folder.path.parent)
            before = " (finished before)" if folder.status == "finished" else ""
            print(f"job {number}: {' '.join(overrides)}{before}", flush=True)
            flags = read_command(folder.path.parent).flags
            return run_job(cfg, overrides, flags, folder=folder)
        except HeldError:
            print(f"job {number}: another process runs it; skipped", flush=True)
        except Exception as error:
            message = message_of(error)
            print(f"error in job {number}: {message}", file=sys.stderr, flush=True)
            if cfg.traceback or wants_traceback(()):
                traceback.print_exception(error)
            record_failure(folder, overrides, message)
    # An exception would keep Hydra from the other jobs; the sweep reports failures at its end.
    return None


def _share_machine(cfg: DictConfig, num_jobs: int | None, sweep: Path) -> None:
    """Give a job that runs beside others its own GPU, or its part of the cores."""
    if num_jobs is None or num_jobs == 1:
        return
    if cfg.num_threads is None:
        cfg.num_threads = threads_for_each(num_jobs)
    if cfg.trainer.get("accelerator") in ("gpu", "cuda", "auto"):
        take_gpu(sweep, visible_gpus(torch.cuda.device_count()), num_jobs)


def record_failure(folder: RunFolder, overrides: list[str], message: str) -> None:
    """Record that a job failed, also where it failed before it wrote anything."""
    # Where another process has it meanwhile, it has not failed.
    with suppress(OSError, HeldError):
        folder.path.mkdir(parents=True, exist_ok=True)
        with claimed(folder):
            if not folder.overrides.exists():
                write_text(folder.overrides, "".join(f"{line}\n" for line in overrides))
            summary = {**folder.read_summary(), "status": "failed", "error": message}
            write_json(folder.summary, summary)


class NumberedLines(io.TextIOBase):
    """Passes a text on in whole lines, each behind a prefix, so that jobs do not mix.

    It is not a terminal, so no progress bar is drawn that the others' lines would break.
    """

    def __init__(self, target: TextIO, prefix: str) -> None:
        self.target, self.prefix = target, prefix
        self._line = ""

    def writable(self) -> bool:
        """Whether it can be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of what it writes to."""
        return self.target.encoding

    def write(self, text: str) -> int:
        """Write the lines that are whole, and keep the rest."""
        *lines, self._line = (self._line + text).split("\n")
        if lines:
            # In one piece: another process may write meanwhile.
            self.target.write("".join(f"{self.prefix}{line}\n" for line in lines))
            self.target.flush()
        return len(text)

    def finish(self) -> None:
        """Write what is left, a line without an end."""
        if self._line:
            self.write("\n")


@contextmanager
def numbered_output(prefix: str) -> Iterator[None]:
    """Put a prefix before every line that is printed meanwhile."""
    out, err = NumberedLines(sys.stdout, prefix), NumberedLines(sys.stderr, prefix)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        out.finish()
        err.finish()
