"""The seed of a run, and its number of threads, on which the order of sums depends."""

from __future__ import annotations

import os

import torch
from lightning.pytorch import seed_everything

LARGEST_SEED = 2**32 - 1


def seed_run(seed: int, num_threads: int | None = None) -> None:
    """Seed Python, NumPy, PyTorch and the workers of data loaders, and set the threads.

    Args:
        seed: From 0 to 2^32 - 1; the same seed gives the same numbers on one CPU.
        num_threads: CPU threads of PyTorch; None leaves them as they are.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed must lie between 0 and {LARGEST_SEED}, got {seed}")
    if num_threads is not None:
        if num_threads < 1:
            raise ValueError(f"num_threads must be 1 or more, or null, got {num_threads}")
        torch.set_num_threads(num_threads)
    # cuBLAS is deterministic only with a workspace of fixed size, chosen before CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # With deterministic algorithms torch also fills new memory with NaN, to find kernels that read
    # uninitialised memory. That changes no number and takes 2 to 7 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    seed_everything(seed, workers=True, verbose=False)


def part_randomness(seed: int, rank: int) -> None:
    """Let each process of a distributed training draw noise of its own.

    To be called after the weights were drawn, which are the same in all processes. The first
    process draws on as if it were alone.
    """
    if rank > 0:
        torch.manual_seed(seed + rank * (LARGEST_SEED + 1))
