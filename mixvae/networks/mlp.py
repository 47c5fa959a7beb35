"""Multilayer perceptrons with a leading agent axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from mixvae.networks.batched import BatchedBatchNorm, BatchedLinear, ByteDropout
from mixvae.networks.wide_input import drop_and_apply

BatchNorm = Literal["none", "before", "after"]
"""Batch norm with scale and offset before each ReLU (the usual way, and IMSAT's), or without them
after each ReLU with slow running statistics (MMIDAS's), or none."""


def _activation(num_agents: int, width: int, batch_norm: BatchNorm) -> list[nn.Module]:
    """ReLU with the chosen batch norm."""
    if batch_norm == "before":
        return [BatchedBatchNorm(num_agents, width), nn.ReLU()]
    if batch_norm == "after":
        return [nn.ReLU(), BatchedBatchNorm(num_agents, width, momentum=0.01, affine=False)]
    if batch_norm == "none":
        return [nn.ReLU()]
    raise ValueError(f"batch_norm must be none, before or after, got {batch_norm!r}")


def _layers(num_agents: int, widths: Sequence[int], batch_norm: BatchNorm) -> nn.Sequential:
    """A linear layer and its activation between each pair of consecutive widths."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers.append(BatchedLinear(num_agents, inputs, outputs))
        layers += _activation(num_agents, outputs, batch_norm)
    return nn.Sequential(*layers)


class MLPEncoder(nn.Module):
    """Sample to features, by fully connected layers.

    Args:
        shape: Shape of one sample; it is flattened to D features.
        hidden: Widths of the layers; the last one is the number of output features.
    """

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        hidden: Sequence[int] = (400, 400, 64),
        batch_norm: BatchNorm = "none",
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths("hidden", hidden)
        self.out_features = hidden[-1]
        self.num_dims = len(shape)
        self.dropout = ByteDropout(input_dropout)
        self.layers = _layers(num_agents, [math.prod(shape), *hidden], batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Features of x, shape (A, B, *shape) or (B, *shape), as (A, B, hidden[-1])."""
        first, *rest = self.layers
        assert isinstance(first, BatchedLinear)
        y = drop_and_apply(self.dropout, first, x.flatten(-self.num_dims))
        for layer in rest:
            y = layer(y)
        return y


class MLPDecoder(nn.Module):
    """Code to the parameters of p(x|s, c), by fully connected layers.

    The first layer, which mixes category and state, is in `Agents`; these layers follow it.

    Args:
        hidden: Widths of the layers; the first one is the width of the input code.
    """

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        hidden: Sequence[int] = (64, 400, 400),
        batch_norm: BatchNorm = "none",
    ) -> None:
        super().__init__()
        check_widths("hidden", hidden)
        self.in_features = hidden[0]
        self.shape = tuple(shape)
        self.activation = nn.Sequential(*_activation(num_agents, hidden[0], batch_norm))
        self.layers = _layers(num_agents, hidden, batch_norm)
        self.output = BatchedLinear(num_agents, hidden[-1], math.prod(shape))

    def forward(self, code: Tensor) -> Tensor:
        """Parameters of p(x|s, c) for code, shape (A, B, hidden[0]), as (A, B, *shape)."""
        return self.output(self.hidden(code)).unflatten(-1, self.shape)

    def hidden(self, code: Tensor) -> Tensor:
        """What the output layer takes in for code, shape (A, B, hidden[0]): (A, B, hidden[-1])."""
        return self.layers(self.activation(code))


def check_widths(name: str, widths: Sequence[int]) -> None:
    """Raise ValueError for an empty list of widths, or a width below 1."""
    if len(widths) == 0 or min(widths) < 1:
        raise ValueError(f"{name} must hold at least one width of at least 1, got {list(widths)}")
