"""Sums over the processes of a distributed training, through which gradients pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def num_processes() -> int:
    """Number of processes that train together; 1 where training is not distributed."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mean_over_processes(x: Tensor) -> Tensor:
    """Mean of x over the processes, each of which has an x of the same shape.

    The gradient of x is that of the processes' losses together, as a mean over the processes of
    the parameters' gradients (what distributed data-parallel training takes) asks for.

    Args:
        x: Any shape.

    Returns:
        The mean, of the same shape and the same in every process.
    """
    total: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return total / num_processes()


class _SumOverProcesses(torch.autograd.Function):
    """The sum forward, and the sum of the processes' gradients backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Sum."""
        return _sum(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Sum of gradients: each process's loss depends on each process's x."""
        return _sum(gradients[0])


def _sum(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
