"""One optimiser step, of a model as Lightning makes it and of a plain loop: what is compared."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from experiments.bench.measuring import Run
from mixvae.modules.base import AbstractModule


class Loop(Protocol):
    """A loop over agents or modalities, a module of its own."""

    def loss(self, x: Any) -> Tensor:
        """The objective on samples."""
        ...

    def parameters(self) -> Any:
        """What is trained."""
        ...


def model_step(model: AbstractModule, batch: Any, mixed: bool = False) -> Run:
    """One optimiser step of a model, as Lightning would make it; `mixed` in bf16."""
    optimizer = model.optimizer_factory(model.parameters())

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
