"""Entropies and Kullback-Leibler divergences in closed form, and the penalty of a capacity."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, diag exp(logvar)) || N(0, I)).

    Args:
        mean: Means, shape (..., S).
        logvar: Log-variances, natural log, shape (..., S).

    Returns:
        Shape (...), nats, summed over S; 0 where S is 0.

    Source:
        Kingma & Welling 2014, appendix B. Written with expm1, so that it stays accurate near the
        prior.
    """
    return 0.5 * (mean.square() + (torch.expm1(logvar) - logvar)).sum(dim=-1)


def categorical_entropy(log_q: Tensor) -> Tensor:
    """Entropy of categorical distributions; a category of probability 0 adds nothing.

    Args:
        log_q: Normalised log-probabilities, nats, shape (..., K); -inf where masked.

    Returns:
        Shape (...), nats, in [0, log K], summed over K.

    Source:
        Shannon 1948.
    """
    q = log_q.exp()
    # Where q is 0 the term and its gradient are 0; -inf must not meet that 0.
    return -(q * torch.where(q > 0, log_q, 0.0)).sum(dim=-1)


def categorical_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of categorical distributions; a category that p rules out adds nothing.

    Args:
        log_p: Normalised log-probabilities, nats, shape (..., K); -inf where masked.
        log_q: Normalised log-probabilities, nats, shape (..., K), broadcast against `log_p`.

    Returns:
        Shape (...), nats, at least 0 up to rounding, summed over K; inf where q rules out what p
        does not.

    Source:
        Kullback & Leibler 1951.
    """
    p = log_p.exp()
    # Where p is 0 the term and its gradients are 0; -inf - -inf must not meet that 0.
    return (p * torch.where(p > 0, log_p - log_q, 0.0)).sum(dim=-1)


def capacity_penalty(kl: Tensor, capacity: float) -> Tensor:
    """Distance of the mean divergence from the prior to the capacity.

    Args:
        kl: KL(q(.|x) || prior) of each agent and sample, nats, shape (A, B).
        capacity: Nats that the code should carry, at least 0.

    Returns:
        |mean over B of kl - capacity|, nats, at least 0, shape (A,).

    Source:
        JointVAE (Dupont 2018), eq. (7), without its weight gamma. The batch is averaged inside the
        absolute value, as in the public code: a sample may carry more than another.
    """
    if not capacity >= 0:
        raise ValueError(f"the capacity must be at least 0 nats, got {capacity}")
    return (kl.mean(dim=1) - capacity).abs()


def kl_to_uniform(log_q: Tensor, num_categories: int) -> Tensor:
    """KL(q || uniform) of categorical distributions.

    Args:
        log_q: Normalised log-probabilities, nats, shape (..., K); -inf where masked.
        num_categories: Number of categories that are not masked.

    Returns:
        log(num_categories) - H(q), nats, in [0, log num_categories], shape (...), summed over K.

    Source:
        JointVAE (Dupont 2018), the discrete term with a uniform prior.
    """
    return math.log(num_categories) - categorical_entropy(log_q)
