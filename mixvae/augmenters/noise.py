"""Generic copies: the sample itself, and Gaussian noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mixvae.contracts import LogQ


class Identity(nn.Module):
    """Copies equal to the sample."""

    def forward(self, x: Tensor, num_agents: int, log_q: LogQ, strength: float = 1.0) -> Tensor:
        """x, shape (B, *shape), expanded to (A, B, *shape) without a copy."""
        return x.expand(num_agents, *x.shape)


class Noise(nn.Module):
    """Copies with normal noise, separate for each agent.

    Args:
        scale: Standard deviation of the noise, in units of the data.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        if not scale >= 0:
            raise ValueError(f"augmenter.scale must be at least 0, got {scale}")
        self.scale = scale

    def forward(self, x: Tensor, num_agents: int, log_q: LogQ, strength: float = 1.0) -> Tensor:
        """Noisy copies of x, shape (B, *shape), as (A, B, *shape)."""
        shape = (num_agents, *x.shape)
        noise = torch.randn(shape, device=x.device, dtype=x.dtype)
        return noise.mul_(self.scale * strength).add_(x)
