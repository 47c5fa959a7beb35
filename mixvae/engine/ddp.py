"""A run on several devices: one process for each, started by torchrun, by srun, or by the first.

Lightning always sees processes that were started for it. Its own launcher would run the command
line once more for each device: a sweep would begin again in each of them, `resume=` would find its
folder taken, and a second job would find the first one's variables.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed

from mixvae.callbacks.lightning_parts import callbacks_of
from mixvae.engine.cluster import process_rank
from mixvae.engine.devices import threads_for_each
from mixvae.engine.rendezvous import FAILED, PATIENCE_SECONDS, RankError, Rendezvous
from mixvae.ranks import own_rank

# Rank zero most often fails of the same error, prints it, and ends this process before that.
SILENT_SECONDS = 3.0
# A process other than rank zero trains on after SIGTERM, so that rank zero can stop in order.
STOP_SECONDS = 15.0
TERMINATED = 143
LOCALHOST = "127.0.0.1"


@contextmanager
def following(rendezvous: Rendezvous) -> Iterator[dict[str, Any]]:
    """Take part in a run that rank zero leads, and print only errors that are this process's own.

    Raises:
        SystemExit: If this process failed, or rank zero did.
    """
    # Ctrl-C and a scheduler's signals may reach all processes; rank zero decides what they mean.
    for name in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop_later)
    # Rank zero prints the same warnings.
    warnings.simplefilter("ignore")
    message = rendezvous.hear()
    try:
        yield message
    except RankError as error:
        # Rank zero names the process, or torchrun and srun name rank zero.
        time.sleep(SILENT_SECONDS)
        raise SystemExit(FAILED) from error
    except Exception as error:
        from mixvae.cli.errors import message_of, wants_traceback

        time.sleep(SILENT_SECONDS)
        if wants_traceback(()):
            import traceback

            traceback.print_exception(error)
        print(f"error in process {own_rank()}: {message_of(error)}", file=sys.stderr, flush=True)
        with suppress(RuntimeError):
            rendezvous.fail()
        raise SystemExit(FAILED) from error


def _stop_later(*_: Any) -> None:
    """End this process soon, unless rank zero's end has ended it by then."""
    timer = threading.Timer(STOP_SECONDS, os._exit, (TERMINATED,))
    timer.daemon = True
    timer.start()


class StopAtSigterm(Callback):
    """Have rank zero stop the run at SIGTERM, and the other processes train on until it has.

    Lightning's handler begins a collective inside the signal handler, while the other processes
    wait for rank zero in another one. It is replaced as soon as Lightning has installed it.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the handler for training."""
        self._install()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the handler for the test."""
        self._install()

    @staticmethod
    def _install() -> None:
        def stop(*_: Any) -> None:
            raise SIGTERMException

        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stop if process_rank() == 0 else _stop_later)


class Workers:
    """Processes that rank zero starts on its own machine, as torchrun would."""

    def __init__(self, command: Sequence[str], rendezvous: Rendezvous) -> None:
        self._over = threading.Event()
        shared = {
            "WORLD_SIZE": str(rendezvous.world_size),
            "LOCAL_WORLD_SIZE": str(rendezvous.world_size),
            "GROUP_RANK": "0",
            "MASTER_ADDR": rendezvous.host,
            "MASTER_PORT": str(rendezvous.port),
            "TORCHELASTIC_RUN_ID": "mixvae",
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "mixvae.train", *command],
                env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(1, rendezvous.world_size)
        ]
        threading.Thread(target=self._watch, daemon=True).start()

    def check(self) -> None:
        """Raise if a worker process ended with an error."""
        for rank, process in enumerate(self._processes, 1):
            status = process.poll()
            if status:
                how = "failed" if status > 0 else f"was killed ({signal.Signals(-status).name})"
                raise RankError(f"process {rank} of the run {how}")

    def end(self, seconds: float) -> None:
        """Wait for the worker processes, and kill those that are not done by then."""
        self._over.set()
        until = time.monotonic() + seconds
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0.0))
            process.kill()
            process.wait()

    def _watch(self) -> None:
        """End this process when it waits forever for a lost one, as the GPUs' libraries do."""
        while not self._over.wait(1.0):
            try:
                self.check()
            except RankError as error:
                if not self._over.wait(PATIENCE_SECONDS):
                    print(f"error: {error}", file=sys.stderr, flush=True)
                    self.end(0.0)
                    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def sharing_the_run(
    trainer: Trainer,
    rendezvous: Rendezvous | None,
    message: Mapping[str, Any],
    command: Sequence[str],
    num_threads: int | None,
) -> Iterator[None]:
    """Train together: begin with all processes of the run, and end with them.

    On one device nothing is done. A process that was started alone starts the others.

    Args:
        rendezvous: Where processes meet that another program started; None for the only process.
        message: Rank zero's to the others.
        command: Arguments of `mixvae.train` for a worker process, which hears the message.
        num_threads: CPU threads of each process; None shares the cores out.
    """
    if not isinstance(trainer.strategy, ParallelStrategy):
        yield
        return
    callbacks_of(trainer).append(StopAtSigterm())
    threads, workers = torch.get_num_threads(), None
    share_cores(num_threads, trainer.num_devices)
    # Lightning would choose the number of threads where this is not set.
    variables = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    if rendezvous is None:
        rendezvous = Rendezvous(0, trainer.world_size, LOCALHOST, 0, hosts=True)
        workers = Workers(command, rendezvous)
        # So Lightning starts none.
        variables["LOCAL_RANK"] = "0"
    seconds = 0.0
    try:
        with _variables(variables):
            if rendezvous.rank == 0:
                rendezvous.tell(message, *([] if workers is None else [workers.check]))
            else:
                rendezvous.ready()
            rendezvous.begin(trainer.strategy.root_device)
            yield
            rendezvous.finish()
        seconds = PATIENCE_SECONDS
    except BaseException as error:
        lost = _lost(error, rendezvous, workers)
        if rendezvous.rank == 0:
            with suppress(RuntimeError):
                rendezvous.call_off()
        if lost is not None:
            raise RankError(lost) from error
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
        if workers is not None:
            workers.end(seconds)
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
        torch.set_num_threads(threads)


def _lost(error: BaseException, rendezvous: Rendezvous, workers: Workers | None) -> str | None:
    """Return what happened to another process where that is the cause of an error."""
    if not isinstance(error, RuntimeError) or isinstance(error, RankError):
        return None
    if workers is not None:
        # Its connections break a moment before it has ended.
        time.sleep(0.5)
        try:
            workers.check()
        except RankError as cause:
            return str(cause)
    if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
        return None
    with suppress(RuntimeError):
        return rendezvous.lost()
    return "process 0 of the run was lost"


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and afterwards have the environment as it was before."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def share_cores(num_threads: int | None, num_processes: int) -> None:
    """Give each process its part of the cores, unless the user said how many threads to use."""
    if num_threads is None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads_for_each(num_processes))
