"""The data-dependent prior of MMVM: divergence of unimodal posteriors from their mixture.

M diagonal Gaussians q_m(z) = N(mean[m], diag exp(logvar[m])) describe each event; h is the mean of
those present. Missing modalities have no influence and get a gradient of exactly 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def present_or_zero(values: Tensor, present: Tensor | None) -> Tensor:
    """Replace the values of missing modalities by 0, without gradient.

    Args:
        values: Shape (M, B, ...).
        present: Modalities present in each event, shape (B, M), bool; None: all.

    Returns:
        Shape (M, B, ...).

    Source:
        Ours.
    """
    if present is None:
        return values
    mask = present.t().reshape(*present.t().shape, *[1] * (values.dim() - 2))
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))


def num_present(values: Tensor, present: Tensor | None) -> Tensor:
    """Number of modalities present in each event, at least 1, so that it can be divided by.

    Args:
        values: Shape (M, B, ...), of the type and device wanted.
        present: Shape (B, M), bool; None: all.

    Returns:
        Shape (B,), at least 1, of the type of `values`.

    Source:
        Ours.
    """
    if present is None:
        return values.new_full(values.shape[1:2], values.shape[0])
    return present.sum(dim=1).clamp_min(1).to(values.dtype)


def pairwise_kl(mean: Tensor, logvar: Tensor, present: Tensor | None = None) -> Tensor:
    """(1/M) sum_{m,n} KL(q_m || q_n), at a cost linear in M.

    The log-determinants cancel in the sum over both m and n, and the rest factorises into sums
    over m and over n. With means and log-variances centred over the modalities, every summand left
    is at least 0, so nothing cancels: neither means far from zero nor posteriors that nearly agree
    cost accuracy.

    Args:
        mean: Means of the unimodal posteriors, shape (M, B, L).
        logvar: Their log-variances, natural log, shape (M, B, L).
        present: Modalities present in each event, shape (B, M), bool; None: all. M is
            then the number of those present.

    Returns:
        Shape (B,), nats, at least 0, summed over L and over pairs; 0 where at most one is present.
        By convexity at least M times the mean KL(q_m || h), and without an upper bound.

    Source:
        MMVM (Sutter et al. 2024): what the authors' code computes in place of eq. (4)'s KL to the
        mixture. Their code has a double loop over pairs of modalities.
    """
    count = num_present(mean, present).unsqueeze(-1)
    mean = present_or_zero(mean, present)
    logvar = present_or_zero(logvar, present)
    # Twice: the first mean of large numbers is rounded, the second one of small ones is not.
    deviation = mean
    for _ in range(2):
        deviation = present_or_zero(deviation - deviation.sum(dim=0) / count, present)
    level = logvar.sum(dim=0) / count
    relative = present_or_zero(logvar - level, present)
    precision = present_or_zero(torch.exp(-relative), present)
    # sum_m e^v * sum_n e^-v - M^2, where sum v = 0, without its cancellation at v near 0.
    up, down = torch.expm1(relative).sum(dim=0), torch.expm1(-relative).sum(dim=0)
    spread = count * 4 * torch.sinh(0.5 * relative).square().sum(dim=0) + up * down
    # sum_{m,n} (d_m - d_n)^2 / var_n, where sum d = 0.
    square = deviation.square()
    distance = precision.sum(dim=0) * square.sum(dim=0) + count * (precision * square).sum(dim=0)
    total = spread + torch.exp(-level) * distance
    return 0.5 * (total / count).sum(dim=-1)


def log_density(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """Log-density of diagonal Gaussians.

    Args:
        z: Points, shape (..., L).
        mean: Means, shape (..., L), broadcast against z.
        logvar: Log-variances, natural log, shape (..., L), broadcast against z.

    Returns:
        Shape (...), nats, summed over L.

    Source:
        Kingma & Welling 2014, appendix B.
    """
    scaled = (z - mean).square() * torch.exp(-logvar)
    return -0.5 * (scaled + logvar + math.log(2 * math.pi)).sum(dim=-1)


def log_mixture(z: Tensor, mean: Tensor, logvar: Tensor, present: Tensor | None = None) -> Tensor:
    """Log-density of h, the mixture in equal parts of the unimodal posteriors that are present.

    Args:
        z: Points, shape (N, B, L), N of them for each event.
        mean: Means, shape (M, B, L).
        logvar: Log-variances, natural log, shape (M, B, L).
        present: Modalities present in each event, shape (B, M), bool; None: all.

    Returns:
        Shape (N, B), nats; -inf where no modality is present.

    Source:
        MMVM (Sutter et al. 2024), h(z|X) of Lemma 4.1, by log-mean-exp.
    """
    mean, logvar = present_or_zero(mean, present), present_or_zero(logvar, present)
    density = log_density(z.unsqueeze(1), mean, logvar)
    if present is not None:
        density = density.masked_fill(~present.t(), -math.inf)
    return torch.logsumexp(density, dim=1) - num_present(mean, present).log()


def mixture_kl(
    mean: Tensor, logvar: Tensor, sample: Tensor, present: Tensor | None = None
) -> Tensor:
    """Estimate sum_m KL(q_m || h) from one draw of each q_m; its expectation is exact.

    Args:
        mean: Means of the unimodal posteriors, shape (M, B, L).
        logvar: Their log-variances, natural log, shape (M, B, L).
        sample: A reparametrised draw from each, shape (M, B, L).
        present: Modalities present in each event, shape (B, M), bool; None: all. h mixes
            those, and the sum is over those.

    Returns:
        Shape (B,), nats, at most M log M for every draw; its expectation, M times the
        Jensen-Shannon divergence, is at least 0 and at most `pairwise_kl`. 0 where at most one is
        present. The cost grows as M^2.

    Source:
        MMVM (Sutter et al. 2024), eq. (4) with the prior of Lemma 4.1. The authors' code takes
        `pairwise_kl` instead.
    """
    sample = present_or_zero(sample, present)
    mean, logvar = present_or_zero(mean, present), present_or_zero(logvar, present)
    own = log_density(sample, mean, logvar)
    if present is None:
        return (own - log_mixture(sample, mean, logvar)).sum(dim=0)
    # With nothing present h would be 0, and its logarithm must not meet a mask.
    usable = present | ~present.any(dim=1, keepdim=True)
    ratio = own - log_mixture(sample, mean, logvar, usable)
    return present_or_zero(ratio, present).sum(dim=0)
