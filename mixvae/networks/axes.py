"""Changing agents in place: categories renamed, agents replaced by others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixvae.networks.batched import BatchedBatchNorm


class CategoryAxis(NamedTuple):
    """A parameter with agents on axis 0 and categories on `axis`."""

    parameter: nn.Parameter
    axis: int


@torch.no_grad()
def permute_categories(
    axes: Sequence[CategoryAxis],
    permutations: Tensor,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Rename each agent's categories in place, in its parameters and in the optimiser's moments.

    Args:
        permutations: New category k of agent a is its old category permutations[a, k], (A, K).
        optimizer: Its per-parameter state of the same shape (Adam's moments) is renamed too.
    """
    for parameter, axis in axes:
        for tensor in (parameter, *_moments(parameter, optimizer)):
            view = [permutations.shape[0], *[1] * (tensor.dim() - 1)]
            view[axis] = permutations.shape[1]
            index = permutations.to(tensor.device).view(view).expand_as(tensor)
            tensor.copy_(tensor.gather(axis, index))


@torch.no_grad()
def replace_agents(
    agents: nn.Module, source: Tensor, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Give each agent the parameters, running statistics and moments of another, in place.

    Args:
        agents: Networks, of which every parameter has a block for each agent along axis 0.
        source: The agent whose values agent a gets, shape (A,), int64.
        optimizer: Its per-parameter state of the same shape (Adam's moments) goes along.
    """
    tensors: list[Tensor] = []
    for parameter in agents.parameters():
        tensors += [parameter, *_moments(parameter, optimizer)]
    for module in agents.modules():
        tensors += module.buffers() if isinstance(module, BatchedBatchNorm) else []
    for tensor in tensors:
        blocks = tensor.unflatten(0, (len(source), -1))
        blocks.copy_(blocks[source.to(tensor.device)])


def _moments(parameter: nn.Parameter, optimizer: torch.optim.Optimizer | None) -> list[Tensor]:
    """What the optimiser keeps for each entry of a parameter."""
    state = optimizer.state.get(parameter, {}) if optimizer is not None else {}
    return [v for v in state.values() if torch.is_tensor(v) and v.shape == parameter.shape]
