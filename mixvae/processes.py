"""What belongs to the whole batch of a distributed training, though each process has a share.

Every process computes the same function of all shares. Its gradient reaches each process's own
share as the sum over the processes' losses; data-parallel training then takes the mean of the
parameters' gradients, which is the gradient of one process that has the whole batch.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.nn import functional

T = TypeVar("T")


def num_processes() -> int:
    """Number of processes that train together; 1 where training is not distributed."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mean_over_processes(x: Tensor) -> Tensor:
    """Mean of x over the processes, each of which has an x of the same shape.

    Args:
        x: Any shape.

    Returns:
        The mean, of the same shape and the same in every process; x itself in one process.
    """
    if num_processes() == 1:
        return x
    total: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return total / num_processes()


def gather_over_processes(x: Tensor, dim: int = 0) -> Tensor:
    """The shares of all processes, joined along `dim` in the order of the processes.

    Args:
        x: This process's share; only its size along `dim` may differ from the others'.
        dim: Axis of the samples.

    Returns:
        The same in every process; x itself in one process.
    """
    if num_processes() == 1:
        return x
    whole: Tensor = _GatherOverProcesses.apply(x, dim)  # type: ignore[no-untyped-call]
    return whole


def gather_objects(value: T) -> list[T]:
    """The values of all processes, in the order of the processes; each of them must call it.

    Args:
        value: Anything that can be pickled.

    Returns:
        The same in every process; the value alone in one process.
    """
    if num_processes() == 1:
        return [value]
    values: list[Any] = [None] * num_processes()
    distributed.all_gather_object(values, value)
    return values


def own_share(whole: Tensor, size: int) -> Tensor:
    """This process's part of what `gather_over_processes` joined along axis 0.

    Args:
        whole: Shares of one size, joined, shape (processes * size, ...).
        size: Size of each share.
    """
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    return whole[rank * size : (rank + 1) * size]


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


class _GatherOverProcesses(torch.autograd.Function):
    """All shares forward; backward the sum of the processes' gradients, cut to the own share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        """Join the shares, each padded to the largest on its way."""
        size = torch.tensor([x.shape[dim]], device=x.device)
        sizes = [torch.zeros_like(size) for _ in range(num_processes())]
        distributed.all_gather(sizes, size)
        lengths = [int(length) for length in sizes]
        front = x.movedim(dim, 0)
        padding = [0, 0] * (x.dim() - 1) + [0, max(lengths) - len(front)]
        padded = functional.pad(front, padding).contiguous()
        shares = [torch.empty_like(padded) for _ in lengths]
        distributed.all_gather(shares, padded)
        ctx.dim, ctx.lengths = dim, lengths
        cut = [share[:length] for share, length in zip(shares, lengths, strict=True)]
        return torch.cat(cut).movedim(0, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Cut the own share out of the sum."""
        before = sum(ctx.lengths[: distributed.get_rank()])
        return _sum(gradients[0]).narrow(ctx.dim, before, ctx.lengths[distributed.get_rank()]), None


def _sum(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
