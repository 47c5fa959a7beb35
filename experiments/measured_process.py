"""A training in a process of its own: its largest resident memory, and the time it takes."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lightning.pytorch import Callback, LightningModule, Trainer

GIB = 2**30
EPOCH = re.compile(r"^epoch .* ([\d.]+) s$")
STARTED = re.compile(r"^started after ([\d.]+) s of processor, ([\d.]+) GiB$")


class Started(Callback):
    """Prints the processor seconds and the largest resident memory before the first step."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print them."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
        print(
            f"started after {time.process_time():.1f} s of processor, {memory:.2f} GiB", flush=True
        )


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        gib: Largest resident memory of the training process.
        seconds: Of each epoch, training and validation, by the clock.
        processor: Seconds of processor time of the whole process, which other work does not raise.
        start: Those before the first step, where the callback `Started` is used.
        start_gib: Largest resident memory till then.
    """

    gib: float
    seconds: list[float]
    processor: float
    start: float = float("nan")
    start_gib: float = float("nan")


def measure(command: Sequence[str]) -> Measured:
    """Run a training to its end.

    Args:
        command: The command line.

    Returns:
        Its largest resident memory and the seconds of its epochs.

    Raises:
        RuntimeError: If it failed.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seconds = []
    start = (float("nan"), float("nan"))
    for line in process.stdout:
        if begun := STARTED.match(line):
            start = float(begun[1]), float(begun[2])
        told = EPOCH.match(line)
        if told is not None:
            print(f"  {line.strip()}", flush=True)
            seconds.append(float(told[1]))
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}: {' '.join(command)}")
    processor = usage.ru_utime + usage.ru_stime
    return Measured(usage.ru_maxrss * 1024 / GIB, seconds, processor, *start)
