"""Two processes that share a batch compute what one process computes."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing

from mixvae.networks.batched import BatchedBatchNorm
from mixvae.networks.processes import mean_over_processes, num_processes

A, B, F = 3, 8, 5


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(A, B, F, generator=generator, dtype=torch.float64)
    return x, torch.randn(A, B, F, generator=generator, dtype=torch.float64)


def step(x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Normalise, take the loss of these samples, and give everything that training moves."""
    norm = BatchedBatchNorm(A, F).double()
    x = x.clone().requires_grad_()
    y = norm(x)
    ((y - target) ** 3).mean().backward()
    grads = {name: value.grad for name, value in norm.named_parameters()}
    return {"y": y.detach(), "x.grad": x.grad, **grads, **dict(norm.named_buffers())}


def work(rank: int, folder: str) -> None:
    """One process of two: every other sample."""
    os.environ.update({"MASTER_ADDR": "127.0.0.1"})
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    assert num_processes() == 2
    x, target = data()
    got = step(x[:, rank::2], target[:, rank::2])
    got["mean"] = mean_over_processes(torch.tensor([float(rank)]))
    torch.save(got, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_batch_norm_over_two_processes_equals_one(tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    whole = step(*data())
    for rank, part in enumerate(parts):
        assert part["mean"].item() == 0.5
        torch.testing.assert_close(part["y"], whole["y"][:, rank::2])
        # The loss of half the samples is a mean over half as many.
        torch.testing.assert_close(part["x.grad"], 2 * whole["x.grad"][:, rank::2])
        torch.testing.assert_close(part["running_mean"], whole["running_mean"])
        torch.testing.assert_close(part["running_var"], whole["running_var"])
    for name in ("weight", "bias"):
        mean = (parts[0][name] + parts[1][name]) / 2
        torch.testing.assert_close(mean, whole[name])


def test_one_process_is_alone() -> None:
    assert num_processes() == 1
