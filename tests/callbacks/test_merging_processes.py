"""Two processes that share the samples merge as one process does, and both alike."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.distributed import _sync_ddp_if_available
from lightning.pytorch.plugins import Precision
from torch import Tensor, distributed, multiprocessing

from mixvae.augmenters.noise import Identity
from mixvae.callbacks.merging import Merging
from mixvae.data.resident import EvalLoader, ResidentTensors
from mixvae.modules import CplMixVAE
from mixvae.networks.agents import Agents
from mixvae.networks.mlp import MLPDecoder, MLPEncoder
from mixvae.objectives.likelihoods import Gaussian

pytestmark = pytest.mark.slow
A, K, D, N, GROUPS = 3, 8, 6, 101, 4


def run_process(rank: int, folder: str) -> None:
    """One process of two."""
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.save(merge(rank, 2), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def merge(rank: int, world_size: int) -> dict[str, Tensor]:
    """Weights, names, moments and agreement after merging, of a model that has taken a step."""
    torch.manual_seed(0)
    model = CplMixVAE(
        shape=(D,),
        agents=partial(
            Agents,
            encoder=partial(MLPEncoder, hidden=(12, 6)),
            decoder=partial(MLPDecoder, hidden=(7, 9)),
        ),
        augmenter=Identity(),
        likelihood=Gaussian(),
        optimizer=partial(torch.optim.Adam, lr=0.1),
        num_agents=A,
        num_categories=K,
        state_dim=2,
    )
    x = 3 * torch.randn(N, D)
    optimizer = model.configure_optimizers()
    # The same step in each process, as after their gradients were averaged.
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()

    def share(_: str) -> EvalLoader:
        cells = ResidentTensors(x, torch.zeros(N, dtype=torch.int64))
        return EvalLoader(cells, torch.arange(N), 20, rank=rank, world_size=world_size)

    def reduce(value: Tensor, reduce_op: str) -> Tensor:
        return _sync_ddp_if_available(value, reduce_op=reduce_op) if world_size > 1 else value

    trainer: Any = SimpleNamespace(
        strategy=SimpleNamespace(batch_to_device=lambda batch: batch, reduce=reduce),
        precision_plugin=Precision(),
        datamodule=SimpleNamespace(eval_dataloader=share),
        optimizers=[optimizer],
        callbacks=[],
        world_size=world_size,
        current_epoch=0,
    )
    logged: dict[str, Tensor] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CplMixVAE, "trainer", trainer)
        patch.setattr(CplMixVAE, "log_dict", lambda _, values, **options: logged.update(values))
        Merging(after_epochs=1, num_categories=GROUPS).on_train_epoch_end(trainer, model)
    moments = {
        f"{index}/{name}": value
        for index, state in enumerate(optimizer.state.values())
        for name, value in state.items()
    }
    return {**model.state_dict(), **moments, **logged}


def test_two_processes_merge_as_one_and_both_alike(tmp_path: Path) -> None:
    multiprocessing.spawn(run_process, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    whole = merge(0, 1)
    assert whole["category_mask"].sum() == GROUPS
    assert first.keys() == second.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(first[name], second[name]), name
        # A permutation of the same numbers: sums over the samples only choose it.
        assert torch.equal(first[name], value), name
