"""Multilayer perceptrons with a leading agent axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from mixvae.networks.batched import BatchedBatchNorm, BatchedLinear, ByteDropout


def _layers(num_agents: int, widths: Sequence[int], batch_norm: bool) -> nn.Sequential:
    """Linear, ReLU and, where asked, batch norm, between each pair of consecutive widths."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        layers += [BatchedLinear(num_agents, inputs, outputs), nn.ReLU()]
        if batch_norm:
            layers.append(BatchedBatchNorm(num_agents, outputs))
    return nn.Sequential(*layers)


class MLPEncoder(nn.Module):
    """Sample to features, by fully connected layers.

    Args:
        num_agents: Number of agents A.
        shape: Shape of one sample; it is flattened to D features.
        hidden: Widths of the layers; the last one is the number of features given out.
        batch_norm: Normalise after each ReLU (MMIDAS does).
        input_dropout: Probability of dropping an input feature.
    """

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        hidden: Sequence[int] = (400, 400, 64),
        batch_norm: bool = False,
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
        return self.layers(self.dropout(x.flatten(-self.num_dims)))


class MLPDecoder(nn.Module):
    """Code to the parameters of p(x|s, c), by fully connected layers.

    The first layer, which mixes category and state, stands in `Agents`; this is what follows it.

    Args:
        num_agents: Number of agents A.
        shape: Shape of one sample.
        hidden: Widths of the layers; the first one is the width of the code taken in.
        batch_norm: Normalise after each ReLU.
    """

    def __init__(
        self,
        num_agents: int,
        shape: Sequence[int],
        hidden: Sequence[int] = (64, 400, 400),
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_widths("hidden", hidden)
        self.in_features = hidden[0]
        self.shape = tuple(shape)
        self.activation = nn.ReLU()
        self.norm = BatchedBatchNorm(num_agents, hidden[0]) if batch_norm else nn.Identity()
        self.layers = _layers(num_agents, hidden, batch_norm)
        self.output = BatchedLinear(num_agents, hidden[-1], math.prod(shape))

    def forward(self, code: Tensor) -> Tensor:
        """Parameters of p(x|s, c) for code, shape (A, B, hidden[0]), as (A, B, *shape)."""
        y = self.output(self.layers(self.norm(self.activation(code))))
        return y.unflatten(-1, self.shape)


def check_widths(name: str, widths: Sequence[int]) -> None:
    """Refuse an empty list of widths, or a width below 1.

    Raises:
        ValueError: Naming the list and what it holds.
    """
    if len(widths) == 0 or min(widths) < 1:
        raise ValueError(f"{name} must hold at least one width of at least 1, got {list(widths)}")
