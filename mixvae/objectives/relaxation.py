"""Samples that a gradient passes through: Gumbel-softmax categories, reparametrised states."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def gumbel_softmax(
    log_q: Tensor, temperature: float, hard: bool = False, generator: torch.Generator | None = None
) -> Tensor:
    """Draw from the Gumbel-softmax distribution around q; its argmax is an exact draw from q.

    Args:
        log_q: Log-probabilities, nats, shape (..., K); -inf where masked, but not in a whole row.
        temperature: Above 0; towards 0 the draw becomes one-hot, and its gradient noisy.
        hard: Return the one-hot argmax with the gradient of the soft draw (straight-through).
        generator: Source of randomness on the device of `log_q`; None takes the global one.

    Returns:
        Points of the simplex, shape (..., K); 0 where masked; exactly one-hot if `hard`.

    Source:
        Jang et al. 2017; Maddison et al. 2017; straight-through: Bengio et al. 2013. The noise is
        -log of a unit exponential, which is Gumbel and needs one logarithm where the usual
        -log(-log(uniform)) needs two and an epsilon.
    """
    if not temperature > 0:
        raise ValueError(f"the Gumbel temperature must be above 0, got {temperature}")
    exponential = torch.empty_like(log_q).exponential_(generator=generator)
    # An exponential can round to 0, whose logarithm would make the row NaN.
    gumbel = -exponential.clamp_min_(torch.finfo(log_q.dtype).tiny).log_()
    soft = ((log_q + gumbel) / temperature).softmax(dim=-1)
    if not hard:
        return soft
    one_hot = torch.zeros_like(soft).scatter_(-1, soft.argmax(dim=-1, keepdim=True), 1.0)
    # The bracket is exactly 0, so the value is exactly one-hot.
    return one_hot + (soft - soft.detach())


def reparametrise(mean: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw from N(mean, diag exp(logvar)), differentiable in both.

    Args:
        mean: Means, shape (..., S).
        logvar: Log-variances, natural log, shape (..., S).
        generator: Source of randomness on the device of `mean`; None takes the global one.

    Returns:
        One draw, shape (..., S), in the unit of `mean`.

    Source:
        Kingma & Welling 2014. The public code of MMIDAS draws uniform noise: normal here.
    """
    noise = torch.empty_like(mean).normal_(generator=generator)
    return mean + (0.5 * logvar).exp() * noise


def most_probable(probs: Tensor) -> Tensor:
    """Give the most probable category as a one-hot vector.

    Args:
        probs: Probabilities, shape (..., K); the first of equals counts.

    Returns:
        Shape (..., K), same type, without gradient.

    Source:
        Ours: what evaluation decodes, where training decodes a relaxed sample.
    """
    return functional.one_hot(probs.argmax(-1), probs.shape[-1]).to(probs.dtype)
