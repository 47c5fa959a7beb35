"""A mixture of K diagonal Gaussians as the prior of a latent: densities, divergences, fitting."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

# Least variance of a fitted component, as a share of the data's in that dimension.
SMALLEST_SHARE = 1e-3


def component_log_density(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """Log N(z; mean[k], diag exp(logvar[k])) for each component k.

    Args:
        z: Points, shape (A, B, S).
        mean: Means of the components, shape (A, K, S).
        logvar: Their log-variances, natural log, shape (A, K, S).

    Returns:
        Shape (A, B, K), nats, summed over S.

    Source:
        Jiang et al. 2017 (VaDE), log p(z|c) of its generative model.
    """
    difference = z.unsqueeze(2) - mean.unsqueeze(1)
    square = difference.square() * (-logvar).exp().unsqueeze(1)
    constant = z.shape[-1] * math.log(2 * math.pi)
    return -0.5 * (square.sum(dim=-1) + logvar.sum(dim=-1).unsqueeze(1) + constant)


def kl_to_components(mean: Tensor, logvar: Tensor, of_mean: Tensor, of_logvar: Tensor) -> Tensor:
    """KL(N(mean, diag exp(logvar)) || N(of_mean[k], diag exp(of_logvar[k]))) for each k.

    Args:
        mean: Means, shape (A, B, 1, S) where all components are compared with one Gaussian, or
            (A, B, K, S) with one each.
        logvar: Their log-variances, natural log, same shape.
        of_mean: Means of the components, shape (A, K, S).
        of_logvar: Their log-variances, natural log, shape (A, K, S).

    Returns:
        Shape (A, B, K), nats, summed over S.

    Source:
        Jiang et al. 2017 (VaDE), the closed form of its bound: the sums over j, by component.
    """
    of_mean, of_logvar = of_mean.unsqueeze(1), of_logvar.unsqueeze(1)
    difference = logvar - of_logvar
    square = (mean - of_mean).square() * (-of_logvar).exp()
    return 0.5 * (square + torch.expm1(difference) - difference).sum(dim=-1)


class FittedComponents(NamedTuple):
    """A mixture of K Gaussians in S dimensions.

    Attributes:
        mean: Means, shape (K, S).
        logvar: Log-variances, natural log, shape (K, S).
        log_weight: Logarithms of the components' shares, shape (K,), nats.
        log_likelihood: Mean over the points of log p(z), nats.
    """

    mean: Tensor
    logvar: Tensor
    log_weight: Tensor
    log_likelihood: float


@torch.no_grad()
def fit_components(
    z: Tensor,
    num_components: int,
    *,
    num_starts: int = 10,
    num_steps: int = 100,
    seed: int = 0,
) -> FittedComponents:
    """Fit a mixture of diagonal Gaussians to points by expectation and maximisation.

    Each start spreads the means over the points (k-means++), moves them as k-means does for a few
    rounds, and then maximises the likelihood; the best of the starts is kept. A function of its
    arguments alone: the global generator is neither used nor moved.

    Args:
        z: Points, shape (N, S), finite.
        num_components: Number of components K, at most N.
        num_starts: Starts, at least 1.
        num_steps: Steps of each, at least 1.

    Source:
        Dempster et al. 1977; the start by Arthur & Vassilvitskii 2007. VaDE (Jiang et al. 2017)
        fits its prior so, to the codes of an autoencoder.
    """
    if len(z) < num_components:
        raise ValueError(f"{num_components} components need as many points, got {len(z)}")
    if not bool(z.isfinite().all()):
        raise ValueError("the points to fit components to must be finite")
    # On the CPU in double precision: the same on every device and in every process.
    points = z.detach().cpu().double()
    generator = torch.Generator().manual_seed(seed)
    fits = [_fit_once(points, num_components, num_steps, generator) for _ in range(num_starts)]
    best = max(fits, key=lambda fit: fit.log_likelihood)
    parts = best.mean.to(z), best.logvar.to(z), best.log_weight.to(z)
    return FittedComponents(*parts, best.log_likelihood)


def _fit_once(
    z: Tensor, num_components: int, num_steps: int, generator: torch.Generator
) -> FittedComponents:
    mean = _spread_means(z, num_components, generator)
    for _ in range(10):
        share = torch.nn.functional.one_hot(torch.cdist(z, mean).argmin(dim=1), num_components)
        mean = _components(z, share.to(z), mean)[0]
    nearest = torch.nn.functional.one_hot(torch.cdist(z, mean).argmin(dim=1), num_components)
    mean, logvar, log_weight = _components(z, nearest.to(z), mean)
    before = -math.inf
    for _ in range(num_steps):
        density = component_log_density(z[None], mean[None], logvar[None])[0]
        log_joint = log_weight + density
        log_evidence = log_joint.logsumexp(dim=1)
        likelihood = float(log_evidence.mean())
        if likelihood - before < 1e-6:
            break
        before = likelihood
        share = (log_joint - log_evidence[:, None]).exp()
        mean, logvar, log_weight = _components(z, share, mean)
    return FittedComponents(mean, logvar, log_weight, before)


def _spread_means(z: Tensor, num_components: int, generator: torch.Generator) -> Tensor:
    """Points far from each other, shape (K, S)."""
    chosen = [int(torch.randint(len(z), (), generator=generator))]
    distance = (z - z[chosen[0]]).square().sum(dim=1)
    for _ in range(num_components - 1):
        # Where all points are chosen already, or equal, any will do.
        weight = distance if bool(distance.sum() > 0) else torch.ones_like(distance)
        chosen.append(int(torch.multinomial(weight, 1, generator=generator)))
        distance = torch.minimum(distance, (z - z[chosen[-1]]).square().sum(dim=1))
    return z[chosen]


def _components(z: Tensor, share: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means, log-variances and log-weights of points that belong to components by shares (N, K)."""
    count = share.sum(dim=0)
    divisor = count.clamp_min(1e-10)[:, None]
    # A component without points stays where it was.
    mean = torch.where(count[:, None] > 1e-10, share.t() @ z / divisor, before)
    variance = torch.stack(
        [
            (weight[:, None] * (z - centre).square()).sum(dim=0)
            for weight, centre in zip(share.t(), mean, strict=True)
        ]
    )
    floor = (SMALLEST_SHARE * z.var(dim=0, correction=0)).clamp_min(1e-12)
    logvar = torch.maximum(variance / divisor, floor).log()
    return mean, logvar, ((count + 1e-10) / (count + 1e-10).sum()).log()
