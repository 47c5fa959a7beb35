"""Geometry of the simplex, on log-probabilities: the centred log-ratio and Aitchison's distance."""

from __future__ import annotations

import torch
from torch import Tensor


def clr(log_q: Tensor, mask: Tensor | None = None) -> Tensor:
    """Centred log-ratio: log-probabilities less their mean over the kept categories.

    Taken from log-probabilities, so no floor is needed and the geometry is exact: a category whose
    probability underflows still has a finite logarithm.

    Args:
        log_q: Log-probabilities, nats, shape (..., K); a common offset per row does not matter.
        mask: Categories that are kept (True), shape (K,) or any shape that broadcasts with
            `log_q`; None keeps those above -inf.

    Returns:
        Shape (..., K), nats; sums to 0 over K; exactly 0, without gradient, where left out.

    Source:
        Aitchison 1986. The public code of cpl-mixVAE adds 1e-8 to probabilities; nothing is
        added here.
    """
    keep = log_q > -torch.inf if mask is None else mask
    kept = torch.where(keep, log_q, 0.0)
    count = keep.expand(log_q.shape).sum(dim=-1, keepdim=True).clamp_min(1)
    return torch.where(keep, kept - kept.sum(dim=-1, keepdim=True) / count, 0.0)


def aitchison_squared(log_p: Tensor, log_q: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared Aitchison distance between two compositions.

    Args:
        log_p: Log-probabilities, nats, shape (..., K).
        log_q: Log-probabilities, nats, shape (..., K), broadcast against `log_p`.
        mask: Categories that are kept (True), shape (K,); None keeps those above -inf in both.

    Returns:
        Shape (...), squared nats, summed over K.

    Source:
        Aitchison 1986: the squared Euclidean distance of the centred log-ratios.
    """
    if mask is None:
        mask = (log_p > -torch.inf) & (log_q > -torch.inf)
    return (clr(log_p, mask) - clr(log_q, mask)).square().sum(dim=-1)
