"""A run on several devices: this process starts the others, and each run has its own.

Lightning would start the command line once more for every device: a sweep would begin again in each
of them, `resume=` would find its folder taken, and a second job would find the first one's
variables. Here the others are told the run's folder and nothing else, and go with the run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mixvae.engine.devices import threads_for_each

# How the processes of a run find each other; left behind, they would mislead the next run.
VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# A process that fails leaves this one so long to fail by itself, and to tell it better.
PATIENCE_SECONDS = 20.0


# What torchrun leaves in the environment, and the tasks of a Slurm step.
TORCHRUN = "TORCHELASTIC_RUN_ID"
TASKS = "SLURM_STEP_NUM_TASKS"
# Tells the processes that a run started itself from those that another program did.
JOINED = "MIXVAE_JOINED"


def process_rank() -> int:
    """Number of this process among those of the run, from 0; Lightning's types leave it out."""
    return rank_zero_only.rank  # type: ignore[attr-defined]


class RankError(RuntimeError):
    """Another process of the run failed, and has said why."""


def check_started_alone(num_nodes: int) -> None:
    """Refuse to be one of several processes that another program started for the same run.

    Args:
        num_nodes: Machines that the trainer is to use.

    Raises:
        ValueError: Naming what started them, and how to ask for several devices instead.
    """
    if JOINED in os.environ:
        return
    advice = "start one instead: with trainer=ddp trainer.devices=N it starts the others itself"
    if num_nodes != 1:
        raise ValueError(f"trainer.num_nodes is {num_nodes}; a run stays on one machine")
    if os.environ.get(TORCHRUN):
        raise ValueError(f"mixvae is not to be started by torchrun; {advice}")
    tasks = os.environ.get(TASKS, "1")
    if tasks != "1":
        raise ValueError(f"this Slurm step has {tasks} tasks ({TASKS}); {advice}")
    if process_rank() != 0:
        raise ValueError(f"this is process {process_rank()} of several; {advice}")


class RankLauncher(_SubprocessScriptLauncher):
    """Starts one command for each further device.

    Args:
        given: The launcher that Lightning chose, which knows the devices.
        command: What the other processes run.
    """

    def __init__(self, given: _SubprocessScriptLauncher, command: Sequence[str]) -> None:
        super().__init__(given.cluster_environment, given.num_processes, given.num_nodes)
        self.command = list(command)
        self._over = threading.Event()

    def launch(
        self,
        function: Callable[..., Any],
        *args: Any,
        trainer: Trainer | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start the others at the first call; the test after training finds them there."""
        if not self.procs:
            self.cluster_environment.validate_settings(self.num_processes, self.num_nodes)
            self._start()
        return function(*args, **kwargs)

    def _start(self) -> None:
        environment = self.cluster_environment
        os.environ |= {
            "MASTER_ADDR": environment.main_address,
            "MASTER_PORT": str(environment.main_port),
            "NODE_RANK": "0",
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(self.num_processes),
        }
        for rank in range(1, self.num_processes):
            own = {**os.environ, "LOCAL_RANK": str(rank), JOINED: "1"}
            self.procs.append(subprocess.Popen(self.command, env=own))
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def failed(self) -> list[int]:
        """Ranks of the processes that ended with an error."""
        return [rank for rank, process in enumerate(self.procs, 1) if process.poll()]

    def end(self, seconds: float) -> None:
        """Wait for the others, and end those that are not done by then.

        Args:
            seconds: How long to wait for them altogether.
        """
        self._over.set()
        until = time.monotonic() + seconds
        for process in self.procs:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0.0))
            process.kill()
            process.wait()

    def _watch(self) -> None:
        """Do not let this process wait for ever for one that is gone, as GPUs' libraries do."""
        while not self._over.wait(1.0):
            if self.failed and not self._over.wait(PATIENCE_SECONDS):
                print(f"error: process {self.failed[0]} of the run ended", file=sys.stderr)
                self.kill(signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def sharing_the_run(
    trainer: Trainer, arguments: Sequence[str], num_threads: int | None
) -> Iterator[None]:
    """Let the trainer start its other processes for this run, and end them with it.

    On one device nothing is done.

    Args:
        trainer: The run's trainer, which has not started.
        arguments: What `mixvae.runs.joining` is told.
        num_threads: CPU threads of each process; None shares the cores out.

    Raises:
        RankError: If another process failed first.
    """
    given = trainer.strategy.launcher
    if not isinstance(given, _SubprocessScriptLauncher):
        yield
        return
    _hear_sigterm_alone(trainer)
    if "LOCAL_RANK" in os.environ:
        yield
        return
    launcher = RankLauncher(given, [sys.executable, "-m", "mixvae.runs.joining", *arguments])
    trainer.strategy._launcher = launcher
    threads = torch.get_num_threads()
    share_cores(num_threads, launcher.num_processes)
    seconds = 0.0
    try:
        yield
        seconds = PATIENCE_SECONDS
    except RuntimeError as error:
        # Its connections break a moment before it has ended.
        time.sleep(0.5)
        if launcher.failed:
            raise RankError(f"process {launcher.failed[0]} of the run failed") from error
        raise
    finally:
        launcher.end(seconds)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name in VARIABLES:
            os.environ.pop(name, None)
        rank_zero_only.rank = 0  # type: ignore[attr-defined]
        torch.set_num_threads(threads)


def _hear_sigterm_alone(trainer: Trainer) -> None:
    """Have the first process stop at SIGTERM and end the others, which do not hear it.

    Lightning would tell the others from within the signal's handler, and wait for them there while
    they wait for this process elsewhere.
    """

    def stop(signum: Any, _: Any) -> None:
        if process_rank() == 0:
            raise SIGTERMException

    trainer._signal_connector._sigterm_notifier_fn = stop  # type: ignore[method-assign]


def share_cores(num_threads: int | None, num_processes: int) -> None:
    """Give each process its part of the cores, unless the user said how many threads to use.

    Args:
        num_threads: What the config says.
        num_processes: How many processes train together.
    """
    if num_threads is None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads_for_each(num_processes))
