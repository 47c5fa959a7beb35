"""The coupling of cpl-mixVAE: the distance between the agents' categorical posteriors."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

CouplingKind = Literal["perturbed", "aitchison", "euclidean", "jeffreys"]
COUPLING_KINDS: tuple[str, ...] = get_args(CouplingKind)

LEAST_OF_MEAN = 0.1
# Keeps a posterior that is the same for every sample finite; float32 resolves deviations above it.
SMALLEST_DEVIATION = 1e-6


def coupling(
    log_q: Tensor,
    kind: CouplingKind,
    deviation: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Sum over the pairs of agents of the squared distance or divergence between their q(c|x).

    With u_a the coordinates of agent a, the sum over pairs is A * sum_a |u_a - mean(u)|^2: linear
    in A, and centred, since A * sum|u_a|^2 - |sum u_a|^2 cancels in float32 once the agents agree.
    The divergence is the same sum of products of two coordinates, q and log q.

    Args:
        log_q: log q(c|x) of each agent, nats, normalised, shape (A, B, K).
        kind: Coordinates u. `perturbed`: log q over the batch deviation of q, which makes an unused
            category and a flat posterior expensive; `aitchison`: centred log-ratio; `euclidean`:
            q itself. `jeffreys` takes the symmetric Kullback-Leibler divergence instead: it moves
            confident agents that differ, and leaves alone the log-probabilities of categories that
            all of them exclude.
        deviation: For `perturbed`, the floored deviation from `batch_deviation`, shape (A, K);
            None takes it from this batch. Ignored by the other kinds.
        mask: Categories that are kept (True), shape (K,). None keeps, sample by sample, those that
            no agent gives log-probability -inf.

    Returns:
        Shape (B,), summed over pairs and kept categories: squared nats for `aitchison`, nats for
        `jeffreys`, without unit otherwise. With A = 1 exactly 0, with gradient 0.

    Source:
        cpl-mixVAE (Marghi et al., arXiv:2007.09880), the coupling and its "perturbed" form. The
        public code loops over pairs and adds 1e-8 under the deviation, so that an empty or pruned
        category costs 1e10: here the deviation is floored, relative to the mean, and masked
        categories are left out. `jeffreys` is ours, after Jeffreys 1946 and the mutual learning of
        Zhang et al. 2018.
    """
    if kind not in COUPLING_KINDS:
        raise ValueError(f"coupling must be one of {', '.join(COUPLING_KINDS)}, got {kind!r}")
    num_agents = log_q.shape[0]
    keep = (log_q > -torch.inf).all(dim=0) if mask is None else mask
    if kind == "jeffreys":
        p, log_p = torch.where(keep, log_q.exp(), 0.0), torch.where(keep, log_q, 0.0)
        centred = (p - p.mean(dim=0)) * (log_p - log_p.mean(dim=0))
        return num_agents * centred.sum(dim=(0, -1))
    if kind == "aitchison":
        u = clr(log_q, keep)
    elif kind == "euclidean":
        u = torch.where(keep, log_q.exp(), 0.0)
    else:
        if deviation is None:
            deviation = batch_deviation(log_q.exp(), keep)
        u = torch.where(keep, log_q, 0.0) / deviation.unsqueeze(1)
    return num_agents * (u - u.mean(dim=0)).square().sum(dim=(0, -1))


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


def batch_deviation(q: Tensor, mask: Tensor | None = None) -> Tensor:
    """Standard deviation over the batch of each category's probability, floored.

    The floor is the mean deviation over agents and kept categories, times 0.1 / sqrt(K). It equals
    0.1 / K for confident agents that use their categories evenly: an unused category then costs at
    most about 100 K times as much as a used one, instead of 1e10. The floor of flat posteriors is
    as small as their deviations, so that they stay expensive: a fixed floor of 0.1 / K makes them
    free. All agents share the floor, so that an unused category that they share costs no more than
    their log-probabilities differ. The gradient flows through deviation and floor, as in the
    paper's distance: flat posteriors lower the distance by growing their deviations.

    Args:
        q: q(c|x) of each agent, shape (A, B, K), over all ranks where training is distributed.
        mask: Categories that are kept (True), shape (K,) or (B, K); None keeps all.

    Returns:
        Shape (A, K), as probabilities; population deviation; at least `SMALLEST_DEVIATION`.

    Source:
        cpl-mixVAE (Marghi et al., arXiv:2007.09880), sigma of the perturbed distance. The public
        code has no floor but 1e-8. The floor is ours.
    """
    # The square is floored, not the root, whose slope at 0 is infinite.
    deviation = q.var(dim=1, correction=0).clamp_min(SMALLEST_DEVIATION**2).sqrt()
    kept = torch.ones_like(q, dtype=torch.bool) if mask is None else mask.expand(q.shape)
    keep = kept.any(dim=(0, 1))
    count = keep.sum().clamp_min(1)
    mean = torch.where(keep, deviation, 0.0).mean(dim=0).sum() / count
    return torch.maximum(deviation, LEAST_OF_MEAN * mean / count.sqrt())
