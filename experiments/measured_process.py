"""A training in a process of its own: its largest resident memory, and the time it takes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

GIB = 2**30
EPOCH = re.compile(r"^epoch .* ([\d.]+) s$")


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        gib: Largest resident memory of the training process.
        seconds: Of each epoch, training and validation, by the clock.
        processor: Seconds of processor time of the whole process, which other work does not raise.
    """

    gib: float
    seconds: list[float]
    processor: float


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
    for line in process.stdout:
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
    return Measured(usage.ru_maxrss * 1024 / GIB, seconds, processor)
