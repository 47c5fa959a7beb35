"""One optimiser step, of a model as Lightning makes it and of a plain loop: what is compared."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from experiments.bench.measuring import BF16, Run
from mixvae.engine.cuda_graphs import WARM_UP, CudaRecording, Recorder, run_beside
from mixvae.modules.base import AbstractModule

GRAPH = "graph"


class Loop(Protocol):
    """A loop over agents or modalities, a module of its own."""

    def loss(self, x: Any) -> Tensor:
        """The objective on samples."""
        ...

    def parameters(self) -> Any:
        """What is trained."""
        ...


def our_steps(model: AbstractModule, batch: Any) -> dict[str, Run]:
    """Steps of a model in both precisions, and on a GPU also as graphs."""
    runs = {"mixvae": model_step(model, batch), BF16: model_step(model, batch, mixed=True)}
    if model.device.type == "cuda":
        runs[f"mixvae {GRAPH}"] = graph_step(model, batch)
        runs[f"{BF16} {GRAPH}"] = graph_step(model, batch, mixed=True)
    return runs


def model_step(model: AbstractModule, batch: Any, mixed: bool = False) -> Run:
    """One optimiser step of a model, as Lightning would make it; `mixed` in bf16."""
    return _step(model, batch, mixed, model.optimizer_factory(model.parameters()))


def graph_step(
    model: AbstractModule, batch: Any, mixed: bool = False, record: Recorder = CudaRecording
) -> Run:
    """The step recorded as one CUDA graph, see `mixvae.engine.cuda_graphs`."""
    optimizer = model.optimizer_factory(model.parameters())
    for group in optimizer.param_groups:
        group["capturable"] = model.device.type == "cuda"
    step = _step(model, batch, mixed, optimizer)
    for _ in range(WARM_UP):
        run_beside(step, model.device)
    return record(step).replay


def _step(model: AbstractModule, batch: Any, mixed: bool, optimizer: torch.optim.Optimizer) -> Run:
    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(model.device.type, torch.bfloat16, enabled=mixed):
            loss = model.training_step(batch, 0)["loss"]
        loss.backward()
        optimizer.step()

    return step


def loop_step(loop: Loop, x: Any) -> Run:
    """One optimiser step of a loop on samples x, with torch's default Adam."""
    optimizer = torch.optim.Adam(loop.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loop.loss(x).backward()
        optimizer.step()

    return step
