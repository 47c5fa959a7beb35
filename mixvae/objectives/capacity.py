"""Capacities: a penalty that pulls a code's nats towards a target that grows."""

from __future__ import annotations

import math

from torch import Tensor

from mixvae.objectives.divergences import categorical_entropy


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
