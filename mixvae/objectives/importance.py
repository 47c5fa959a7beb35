"""Importance-weighted estimates of log p(x): lower bounds that tighten with the number of draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixvae.objectives.mixture_prior import log_mixture, num_present
from mixvae.objectives.posteriors import GaussianMixture, draw
from mixvae.objectives.relaxation import reparametrise


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


def component_draws(mixture: GaussianMixture, count: int) -> Tensor:
    """Draw `count` times from each of the N components, shape (N, count, B, L).

    Source:
        Stratified sampling of a mixture, as in Shi et al. 2019.
    """
    size = (len(mixture.mean), count, *mixture.mean.shape[1:])
    mean, logvar = (part.unsqueeze(1).expand(size) for part in mixture[:2])
    return reparametrise(mean, logvar)


def density_of(z: Tensor, mixture: GaussianMixture, *, fixed: bool = False) -> Tensor:
    """Log-density of a mixture at K points of each event, (K, B, L): shape (K, B), nats.

    Args:
        fixed: Whether the gradient reaches the mixture through the points alone.

    Source:
        Ours.
    """
    mean, logvar, used = mixture
    if fixed:
        mean, logvar = mean.detach(), logvar.detach()
    return log_mixture(z, mean, logvar, used)


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


def shares_of(log_weights: Tensor, used: Tensor, *draws: Tensor) -> Tensor:
    """The share of each draw in the gradient of a bound of K draws from each of N components.

    The bound is (1/N) sum_n log (1/K) sum_k w_nk over the components used. Its gradient is that of
    sum_nk share_nk log w_nk. The gradient that reaches the encoders through `draws` is multiplied
    by the weights once more: with densities of draws whose parameters are detached that is its
    doubly reparametrised estimate, whose signal does not vanish as K grows.

    Args:
        log_weights: log w, shape (N, K, B), nats.
        used: Components of each event, shape (B, N), bool; at least one.
        draws: What the log-weights were computed from, each of shape (N, K, B, L).

    Returns:
        Shape (N, K, B), without gradient; sums to 1 over N and K.

    Source:
        Tucker et al. 2019 (DReG), eq. (8), for each component of a mixture as in Shi et al. 2019.
    """
    weights = torch.softmax(log_weights.detach(), dim=1)
    for draw_ in draws:
        if draw_.requires_grad:
            draw_.register_hook(lambda gradient: gradient * weights.unsqueeze(-1))
    return torch.where(used.t().unsqueeze(1), weights, 0.0) / num_present(weights, used)


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
