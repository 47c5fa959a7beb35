"""How the benchmarks measure: seconds in alternation, memory, and the rate of matrix products."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

Run = Callable[[], object]
BF16 = "mixvae bf16"
MATMUL_SIZE = {"cpu": 2048, "cuda": 8192}  # large enough to keep all of it busy
SLOW = 1.0  # seconds of a call from which on it need not be warmed up again
CPU = torch.device("cpu")


class Case(NamedTuple):
    """Something to measure in several ways.

    Attributes:
        group: The group that `--cases` chooses it by.
        name: What the table calls it.
        axes: Its sizes A, M, K and B, for the figure.
        samples: Samples that one call works through.
        build: Makes the sides for a device: a call to measure by name, the yardstick first.
        trains: Whether they are training steps, whose products and memory are counted.
    """

    group: str
    name: str
    axes: dict[str, int]
    samples: int
    build: Callable[[torch.device], dict[str, Run]]
    trains: bool = True


class Spent(NamedTuple):
    """Seconds that something took; a `Run` that measures itself returns them.

    Attributes:
        processor: Of the process.
        clock: Of the clock.
    """

    processor: float
    clock: float

    def on(self, device: torch.device) -> float:
        """Those that count: of the clock on a GPU, else of the process."""
        return self.clock if device.type == "cuda" else self.processor


class Setting(NamedTuple):
    """How long and where to measure.

    Attributes:
        rounds: Rounds; each measures every side, the order reversed from round to round.
        seconds: About how long one measurement should take.
        device: Where the work is done.
    """

    rounds: int
    seconds: float
    device: torch.device


def compare(case: Case, setting: Setting) -> dict[str, Any]:
    """Measure the sides of a case.

    Returns:
        For each side the median seconds of a call, samples per second, and the median, smallest
        and largest ratio of the yardstick's seconds to its own; of training steps also GFLOP/s (of
        the yardstick's products and convolutions, whatever the side computes), its share of the
        rate of large products measured in the same rounds, and the memory that a step takes. On a
        CPU seconds are those of the process, and the ratio by the clock stands beside.
    """
    sides = case.build(setting.device)
    yardstick = next(iter(sides))
    flops, memory = 0, {}
    for name, run in sides.items() if case.trains else ():
        counted = FlopCounterMode(display=False) if name == yardstick else nullcontext()
        with counted:
            memory[name] = peak_memory(run, setting.device)
        flops = flops or counted.get_total_flops()
    products = matmuls(setting.device) if flops else {}
    spent = alternate({**sides, **products}, setting)
    times = {name: [one.on(setting.device) for one in each] for name, each in spent.items()}
    work = 2e-9 * MATMUL_SIZE[setting.device.type] ** 3
    rates = {kind: [work / taken for taken in times[kind]] for kind in products}
    row: dict[str, Any] = {"group": case.group, "case": case.name, **case.axes}
    row |= {"samples": case.samples, "flops": flops, "sides": {}}
    row["matmul GFLOP/s"] = {kind: statistics.median(rate) for kind, rate in rates.items()}
    for name in sides:
        seconds = statistics.median(times[name])
        side = {"seconds": seconds, "samples/s": case.samples / seconds}
        side["ratio"] = spread([a / b for a, b in zip(times[yardstick], times[name], strict=True)])
        if setting.device.type == "cpu":
            pairs = zip(spent[yardstick], spent[name], strict=True)
            side["wall ratio"] = spread([a.clock / b.clock for a, b in pairs])
        if flops:
            rate = rates["bfloat16" if name.startswith(BF16) else "float32"]
            shares = [1e-9 * flops / t / r for t, r in zip(times[name], rate, strict=True)]
            side |= {"GFLOP/s": 1e-9 * flops / seconds, "share": statistics.median(shares)}
            side["MB"] = memory[name]
        row["sides"][name] = side
    return row


def alternate(runs: Mapping[str, Run], setting: Setting) -> dict[str, list[Spent]]:
    """Seconds of one call of each run, for each round."""
    repeats: dict[str, int] = {}
    spent: dict[str, list[Spent]] = {name: [] for name in runs}
    for name, run in runs.items():
        one = measure(run, 1, setting.device)  # allocations, thread pools, optimiser state
        if one.clock < SLOW:
            one = measure(run, 1, setting.device)
        repeats[name] = max(1, round(setting.seconds / max(one.on(setting.device), 1e-6)))
    for i in range(setting.rounds):
        for name in list(runs)[:: 1 if i % 2 == 0 else -1]:
            spent[name].append(measure(runs[name], repeats[name], setting.device))
    return spent


def measure(run: Run, repeats: int, device: torch.device) -> Spent:
    """Seconds of one of `repeats` calls, in the mean."""
    start = now(device)
    told = [run() for _ in range(repeats)]
    end = now(device)
    own = [one for one in told if isinstance(one, Spent)]
    processor, clock = (
        (sum(part) for part in zip(*own, strict=True))
        if own
        else (end.processor - start.processor, end.clock - start.clock)
    )
    return Spent(processor / repeats, clock / repeats)


def now(device: torch.device) -> Spent:
    """The time, when a GPU has done what it had to do."""
    wait(device)
    return Spent(time.process_time(), time.perf_counter())


def wait(device: torch.device) -> None:
    """Wait for what a GPU still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: list[float]) -> list[float]:
    """Median, smallest and largest."""
    return [statistics.median(values), min(values), max(values)]


def matmuls(device: torch.device) -> dict[str, Run]:
    """A large product in each precision, the limit of what training can reach."""
    runs: dict[str, Run] = {}
    size = MATMUL_SIZE[device.type]
    for dtype in (torch.float32, torch.bfloat16):
        a, b, out = (torch.rand(size, size, device=device).to(dtype) for _ in range(3))
        runs[str(dtype).removeprefix("torch.")] = partial(torch.mm, a, b, out=out)
    return runs


def peak_memory(run: Run, device: torch.device) -> float | None:
    """MB by which one call, the first of its kind, raises the memory in use; None if unknown.

    It is what the step needs beside the weights and the batch: activations, gradients and the
    optimiser's state.
    """
    gc.collect()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts afresh
    except (OSError, AttributeError):
        run()
        return None
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1e6


def _status(key: str) -> int:
    """A size that Linux tells of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def machine(threads: int, device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cores": os.cpu_count(),
        "threads": threads,
        "float32 products": torch.get_float32_matmul_precision(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
