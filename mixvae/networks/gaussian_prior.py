"""A learned prior of the latent z: one diagonal Gaussian for each category."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mixvae.networks.batched import in_full_precision


class GaussianPrior(nn.Module):
    """p(z|c) of A agents: learned means and log-variances, initially N(., I).

    A state s is the position of z within its category: z = mean[c] + deviation[c] * s. So p(s|c) is
    N(0, I), and a divergence from p(z|c) is the same one from N(0, I) in s.
    """

    def __init__(self, num_agents: int, num_categories: int, dim: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(num_agents, num_categories, dim))
        self.logvar = nn.Parameter(torch.zeros(num_agents, num_categories, dim))

    def of(self, category: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(z|c), (A, B, S), at one-hot or soft categories (A, B, K)."""
        mean = in_full_precision(lambda chosen: torch.bmm(chosen, self.mean), category)
        return mean, in_full_precision(lambda chosen: torch.bmm(chosen, self.logvar), category)

    def latent(self, category: Tensor, state: Tensor) -> Tensor:
        """Latents z of states (A, B, S) in categories (A, B, K), shape (A, B, S)."""
        mean, logvar = self.of(category)
        return mean + (0.5 * logvar).exp() * state

    def state(self, category: Tensor, mean: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the state, from those of z, all (A, B, S)."""
        of_mean, of_logvar = self.of(category)
        return (mean - of_mean) * (-0.5 * of_logvar).exp(), logvar - of_logvar
