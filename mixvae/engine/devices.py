"""Shares a machine's GPUs and cores among jobs; tells what its processor computes with."""

from __future__ import annotations

import os
from pathlib import Path
from timeit import Timer
from typing import IO

import torch

from mixvae.files import CAN_LOCK, lock

SIDE = 1024  # of the matrices that are multiplied to compare precisions: 10 ms each
CPU_INFO = Path("/proc/cpuinfo")

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Locks of the GPUs that this process holds; a worker keeps its GPU for all its jobs.
_held: list[IO[str]] = []


def threads_for_each(num_jobs: int) -> int:
    """Cores that each of several simultaneous jobs may use.

    Args:
        num_jobs: Jobs at a time; -1 for one per core, as joblib counts.
    """
    cores = available_cores()
    return max(1, cores // (cores if num_jobs < 0 else max(num_jobs, 1)))


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus(count: int) -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named or [str(number) for number in range(count)]


def take_gpu(folder: Path, gpus: list[str], num_jobs: int) -> str | None:
    """Let this process see one GPU only, before CUDA starts; locks in `folder` hold it.

    With more jobs at a time than GPUs, workers are spread evenly.

    Returns:
        The GPU; None if there is none to share, or this process has one already.
    """
    if not gpus or _held or not CAN_LOCK:
        return None
    rounds = -(-max(num_jobs, 1) // len(gpus))
    for turn in range(rounds):
        for gpu in gpus:
            file = (folder / f".gpu_{gpu.replace('/', '_')}_{turn}.lock").open("a")
            try:
                lock(file)
            except BlockingIOError:
                file.close()
                continue
            _held.append(file)
            os.environ[VISIBLE] = gpu
            return gpu
    return None


def emulates_bf16() -> bool:
    """Whether the processor has no bf16 arithmetic; False where the system does not tell."""
    return _cpu_has_bf16() is False


def has_bf16(accelerator: object) -> bool:
    """Whether a trainer's accelerator is known to have bf16 arithmetic; on a CPU a fast one."""
    if accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return accelerator in ("cpu", "auto") and _cpu_has_bf16() is True and _is_faster_in_bf16()


def _is_faster_in_bf16() -> bool:
    """Whether a product of matrices takes less time: some CPUs have the instructions only."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        square = torch.ones(SIDE, SIDE, dtype=dtype)
        timer = Timer("a @ a", globals={"a": square})
        seconds[dtype] = min(timer.repeat(repeat=4, number=1))  # the first one warms up
    return seconds[torch.bfloat16] < seconds[torch.float32]


def _cpu_has_bf16() -> bool | None:
    """Whether the processor has bf16 arithmetic; None where the system does not tell."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # x86 says avx512_bf16 and amx_bf16, ARM bf16.
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return any("bf16" in line for line in lines) if lines else None
