"""Importance-weighted estimates of log p(x): lower bounds that tighten with the number of draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixvae.objectives.mixture_prior import log_mixture
from mixvae.objectives.posteriors import GaussianMixture, draw


def draws_of(
    mixture: GaussianMixture, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw `count` times from a mixture, shape (count, B, L).

    Source:
        Ours.
    """
    mean, logvar = (part.repeat(1, count, 1) for part in mixture[:2])
    many = GaussianMixture(mean, logvar, mixture.used.repeat(count, 1))
    return draw(many, generator).unflatten(0, (count, -1))


def density_of(z: Tensor, mixture: GaussianMixture) -> Tensor:
    """Log-density of a mixture at K points of each event, (K, B, L): shape (K, B), nats.

    Source:
        Ours.
    """
    return log_mixture(z, *mixture)


def log_standard_normal(z: Tensor) -> Tensor:
    """Log-density of N(0, I) at points (..., L): shape (...), nats, summed over L.

    Source:
        Ours.
    """
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=-1)


def log_mean_weight(log_weights: Tensor) -> Tensor:
    """The importance-weighted bound log (1/K) sum_k w_k from log-weights (K, B): shape (B,), nats.

    Its expectation is at most log E w, and rises with K.

    Source:
        Burda, Grosse & Salakhutdinov 2016 (IWAE), eq. (8).
    """
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))


def halves(
    target: GaussianMixture,
    other: GaussianMixture,
    count: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draws for integrals over `target` whose integrand is large where `other` lies.

    Half of the draws come from each, and have the weight target / (target/2 + other/2), which never
    exceeds 2: the estimate has a finite variance wherever the two lie.

    Args:
        count: Number of draws, even.

    Returns:
        Draws, shape (count, B, L), and their log-weights, shape (count, B).

    Source:
        Veach & Guibas 1995, the balance heuristic.
    """
    half = count // 2
    z = torch.cat([draws_of(target, half, generator), draws_of(other, half, generator)])
    log_target = density_of(z, target)
    both = torch.logaddexp(log_target, density_of(z, other)) - math.log(2)
    return z, log_target - both
