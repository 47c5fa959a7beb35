"""Mutual information between samples and categories, over a batch or bounded by a network."""

from __future__ import annotations

import math

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


def category_information(category: Tensor, log_q: Tensor, num_categories: int) -> Tensor:
    """One draw of a lower bound on I(c; x), for x made from c, which is uniform.

    log Q(c|x) + log K; its mean over c and x is at most the mutual information, and reaches it
    where Q(c|x) is the true posterior.

    Args:
        category: The drawn categories, one-hot, shape (A, B, K).
        log_q: log Q(c|x) at the samples made from them, nats, shape (A, B, K); -inf where masked.
        num_categories: Number of categories drawn from, K less the masked ones.

    Returns:
        Shape (A, B), nats, at most log K each.

    Source:
        Chen et al. 2016 (InfoGAN), eq. (5), for a uniform categorical code.
    """
    return log_q.masked_fill(category == 0, 0.0).sum(dim=-1) + math.log(num_categories)


def state_information(state: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """One draw of a lower bound on I(s; x), for x made from s, which is N(0, I).

    log Q(s|x) + H(s), with Q(s|x) = N(mean, diag exp(logvar)).

    Args:
        state: The drawn states, shape (A, B, S).
        mean: Means of Q(s|x) at the samples made from them, shape (A, B, S).
        logvar: Their log-variances, natural log, shape (A, B, S).

    Returns:
        Shape (A, B), nats, summed over S; 0 where S is 0.

    Source:
        Chen et al. 2016 (InfoGAN), eq. (5), whose continuous codes are uniform; normal here, as the
        states of the other models. The constants of log Q and H(s) cancel but for S/2.
    """
    square = (state - mean).square() * (-logvar).exp()
    return 0.5 * (1 - square - logvar).sum(dim=-1)
