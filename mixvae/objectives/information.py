"""Mutual information between samples and categories over a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from mixvae.objectives.divergences import categorical_entropy


def information(log_q: Tensor, marginal_weight: float = 4.0) -> Tensor:
    """Weighted mutual information between sample and category, of each agent over the batch.

    marginal_weight * H(mean over B of q(c|x)) - mean over B of H(q(c|x)): large where every sample
    is assigned with confidence and the categories are in even use. A loss subtracts it.

    Args:
        log_q: log q(c|x) of each agent, nats, normalised, shape (A, B, K); -inf where masked.
        marginal_weight: Weight of the entropy of the batch mean, at least 0; 1 gives the mutual
            information itself.

    Returns:
        Shape (A,), nats, at most marginal_weight * log K. The batch is reduced here because the
        first entropy is of its mean.

    Source:
        IMSAT (Hu et al. 2017), the regularised information maximisation term, whose public code
        weighs the marginal entropy by 4. Not part of cpl-mixVAE.
    """
    if not marginal_weight >= 0:
        raise ValueError(f"marginal_weight must be at least 0, got {marginal_weight}")
    mean_q = log_q.exp().mean(dim=1)
    # Clamped in the logarithm only: an empty category adds 0, with a finite slope.
    log_mean_q = mean_q.clamp_min(torch.finfo(mean_q.dtype).tiny).log()
    marginal_entropy = -(mean_q * log_mean_q).sum(dim=-1)
    return marginal_weight * marginal_entropy - categorical_entropy(log_q).mean(dim=1)
