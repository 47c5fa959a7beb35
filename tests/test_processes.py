"""Two processes that share a batch compute what one process computes."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from mixvae.augmenters.adversarial import Adversarial
from mixvae.augmenters.noise import Identity
from mixvae.contracts import Batch
from mixvae.modules import CplMixVAE, cpl_mixvae
from mixvae.networks.agents import Agents
from mixvae.networks.batched import BatchedBatchNorm
from mixvae.networks.mlp import MLPDecoder, MLPEncoder
from mixvae.objectives.likelihoods import Gaussian
from mixvae.processes import (
    gather_over_processes,
    mean_over_processes,
    num_processes,
    own_share,
)

A, B, F = 3, 8, 5
Results = dict[str, Tensor]


def share(x: Tensor, rank: int, world_size: int, dim: int = 0) -> Tensor:
    """Every n-th sample."""
    index = torch.arange(rank, x.shape[dim], world_size)
    return x.index_select(dim, index)


def run_process(rank: int, folder: str) -> None:
    """One process of two."""
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    results = {"normalise": normalise(rank, 2), "step": take_step(rank, 2)}
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Results]]:
    """What each of two processes computes."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(run_process, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def normalise(rank: int, world_size: int) -> Results:
    """Batch norm on a share, forward and backward; and what processes tell each other."""
    generator = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(A, B, F, generator=generator, dtype=torch.float64)
    target = torch.randn(A, B, F, generator=generator, dtype=torch.float64)
    x, target = (share(value, rank, world_size, dim=1) for value in (x, target))
    norm = BatchedBatchNorm(A, F).double()
    x.requires_grad_()
    y = norm(x)
    ((y - target) ** 3).mean().backward()
    grads = {name: value.grad for name, value in norm.named_parameters()}
    # Shares of one and two samples: what an odd number leaves.
    uneven = torch.arange(2 * rank, 2 * rank + 2 - rank, dtype=torch.float64).requires_grad_()
    whole = gather_over_processes(uneven)
    (whole**2).sum().backward()
    return {
        "y": y.detach(),
        "x.grad": x.grad,
        "mean": mean_over_processes(torch.tensor([float(rank)])),
        "whole": whole.detach(),
        "uneven.grad": uneven.grad,
        "own": own_share(torch.arange(2 * num_processes()), 2),
        **grads,
        **dict(norm.named_buffers()),
    }


@pytest.mark.slow
def test_batch_norm_over_two_processes_equals_one(parts: list[dict[str, Results]]) -> None:
    shares, whole = [part["normalise"] for part in parts], normalise(0, 1)
    for rank, part in enumerate(shares):
        assert part["mean"].item() == 0.5
        assert part["whole"].tolist() == [0, 1, 2]
        assert part["own"].tolist() == [2 * rank, 2 * rank + 1]
        torch.testing.assert_close(part["y"], whole["y"][:, rank::2])
        # The loss of half the samples is a mean over half as many.
        torch.testing.assert_close(part["x.grad"], 2 * whole["x.grad"][:, rank::2])
        torch.testing.assert_close(part["running_mean"], whole["running_mean"])
        torch.testing.assert_close(part["running_var"], whole["running_var"])
    # Both processes took the whole's loss, so that their mean is its gradient.
    assert shares[0]["uneven.grad"].tolist() == [0, 4]
    assert shares[1]["uneven.grad"].tolist() == [8]
    for name in ("weight", "bias"):
        mean = (shares[0][name] + shares[1][name]) / 2
        torch.testing.assert_close(mean, whole[name])


def make_model() -> CplMixVAE:
    """Every term of the objective, without noise: all that a batch decides on is in it."""
    torch.manual_seed(0)

    def agents(**sizes: Any) -> Agents:
        def encoder(**own: Any) -> MLPEncoder:
            return MLPEncoder(hidden=[12, 6], batch_norm="before", **own)

        def decoder(**own: Any) -> MLPDecoder:
            return MLPDecoder(hidden=[7, 9], batch_norm="after", **own)

        return Agents(encoder=encoder, decoder=decoder, **sizes)

    return CplMixVAE(
        shape=(F,),
        agents=agents,
        augmenter=Identity(),
        likelihood=Gaussian(),
        # Adam would blow up the rounding of gradients that are 0, such as before a batch norm.
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-4),
        num_agents=A,
        num_categories=4,
        state_dim=2,
        consistency_weight=1.0,
        adversarial_weight=1.0,
        adversary=Adversarial(radius=0.5, neighbour=3),
        information_weight=1.0,
        align_epochs=[1],
        best_agents=1,
    ).double()


def take_step(rank: int, world_size: int) -> Results:
    """Loss and gradients of a share, weights after the step, counts, and the validation loss."""
    model = make_model()
    x, noise = 2 * torch.randn(2, B, F, generator=torch.Generator().manual_seed(1)).double()
    x, noise = (share(value, rank, world_size) for value in (x, noise))
    batch = Batch(x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)))
    with pytest.MonkeyPatch.context() as patch:
        # The draws of a process are its own; without them two processes compare with one.
        patch.setattr(cpl_mixvae, "gumbel_softmax", lambda log_q, *_, **__: log_q.exp())
        patch.setattr(cpl_mixvae, "reparametrise", lambda mean, logvar: mean)
        patch.setattr(torch.Tensor, "normal_", lambda self, **_: self.copy_(noise.expand_as(self)))
        terms = model.terms(batch)
    terms.total().backward()
    results = {"loss": terms.total().detach(), **terms.means()}
    if world_size > 1:
        for parameter in model.parameters():
            distributed.all_reduce(parameter.grad)
            parameter.grad /= world_size
        distributed.all_reduce(results["loss"])
        results["loss"] /= world_size
    gradients = {f"{name}.grad": value.grad for name, value in model.named_parameters()}
    model.configure_optimizers().step()
    weights = {name: value.detach() for name, value in model.named_parameters()}
    model.eval()
    val_loss = model.settled_loss(model.predict_step(batch)).detach()
    own = {"val_loss": val_loss, "informations": model.informations}
    return {**results, **gradients, **weights, **own}


@pytest.mark.slow
def test_a_step_of_two_processes_equals_one(parts: list[dict[str, Results]]) -> None:
    shares, whole = [part["step"] for part in parts], take_step(0, 1)
    # Each process has samples of its own.
    assert shares[0]["reconstruction"] != shares[1]["reconstruction"]
    largest = 0.0
    for name, value in whole.items():
        if name in ("reconstruction", "kl", "entropy", "consistency", "adversarial", "val_loss"):
            got = [(shares[0][name] + shares[1][name]) / 2]
        else:
            got = [part[name] for part in shares]
        scale = max(1.0, float(value.abs().max()))
        largest = max(largest, *(float((each - value).abs().max()) / scale for each in got))
    print(f"largest relative difference between one and two processes: {largest:.1e}")
    assert largest < 1e-9


def test_one_process_is_alone() -> None:
    x = torch.ones(2, requires_grad=True)
    assert num_processes() == 1
    assert gather_over_processes(x) is x
    assert mean_over_processes(x) is x
    assert own_share(x, 2).equal(x)
