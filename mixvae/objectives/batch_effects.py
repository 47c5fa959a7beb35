"""The effect of batches of cells, such as donors or protocols, on each cluster of cells.

A batch moves types by different amounts, and types may be missing in it. So its effect is found
cluster by cluster: samples belong softly to clusters that all batches share, and what is left of a
batch within a cluster is the effect there. A cluster that a batch lacks says nothing of the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mixvae.objectives.kmeans import k_means

PER_CLUSTER = 40  # samples, so that a mean is known well
MAX_CLUSTERS = 50
NUM_COMMON, NUM_STEPS = 25, 10
DIVERSITY = 1.0  # Harmony's theta: a cluster that misses a batch draws its samples
RIDGE = 1.0  # samples that a batch needs in a cluster to move by half of what they say


class BatchEffects(NamedTuple):
    """A mixture of K Gaussians of one diagonal variance, whose centres each of B batches moves.

    Attributes:
        shift: Offset of each batch, whatever the cluster, shape (B, C).
        centres: Shape (K, C).
        offsets: What each batch moves each centre by further, shape (B, K, C).
        log_weights: Log-weight of each cluster in each batch, shape (B, K).
        precision: One over the variances, shape (C,); 0 where a dimension is constant.
    """

    shift: Tensor
    centres: Tensor
    offsets: Tensor
    log_weights: Tensor
    precision: Tensor


@torch.no_grad()
def batch_effects(points: Tensor, batch: Tensor) -> BatchEffects:
    """Find clusters and the effects of batches in points (N, C), of batches (N, B), one-hot.

    First each batch has one offset, found beside the centres by least squares; then one for each
    cluster. The start of the offsets, none or the batches' means, is that of the larger likelihood.

    Source:
        Harmony (Korsunsky et al. 2019) for soft clusters of mixed batches and a ridge regression in
        each; here on Euclidean distances in units of the clusters' own variance, with a common
        offset first, and as one function of a point, so that new cells are moved as the first.
    """
    kept = points.std(dim=0) > 0  # components of noise are 0
    z, v = points[:, kept].double(), batch.double()
    count = min(max(2, len(z) // PER_CLUSTER), MAX_CLUSTERS, len(z))
    starts = [
        torch.zeros_like(v.T @ z),
        v.T @ z / v.sum(dim=0).clamp_min(1)[:, None] - z.mean(dim=0),
    ]
    found = [_fit_common(z, v, start, count) for start in starts]
    _, shift, member, variance = max(found, key=lambda one: float(one.log_likelihood))
    shift = shift - v.mean(dim=0) @ shift
    z = z - v @ shift
    for _ in range(NUM_STEPS):
        centres, offsets = _regress(z, v, member)
        member, _ = _membership(z, v, centres, offsets, _diversity(member, v), 1 / variance)
    whole = [shift, *_regress(z, v, member), 1 / variance]
    for place, part in enumerate(whole):
        wide = part.new_zeros(*part.shape[:-1], points.shape[1])
        wide[..., kept] = part
        whole[place] = wide.to(points.dtype)
    shift, centres, offsets, precision = whole
    return BatchEffects(shift, centres, offsets, _diversity(member, v).to(points.dtype), precision)


class _Common(NamedTuple):
    """A mixture whose batches have one offset each; memberships are (N, K), variances (C,)."""

    log_likelihood: Tensor
    shift: Tensor
    member: Tensor
    variance: Tensor


def _fit_common(z: Tensor, v: Tensor, shift: Tensor, count: int) -> _Common:
    """Fit clusters and the batches' offsets, (B, C), from a start of the offsets."""
    generator = torch.Generator().manual_seed(0)
    start = k_means((z - v @ shift).float(), count, num_restarts=2, generator=generator)
    near = torch.cdist((z - v @ shift).float(), start).argmin(dim=-1)
    member = one_hot(near, count).to(z.dtype)
    none = torch.zeros(v.shape[1], count, z.shape[1], dtype=z.dtype)
    for _ in range(NUM_COMMON):
        # clusters and batches side by side: a batch that lacks types is not taken for their absence
        design = torch.cat([member, v], dim=1)
        normal = design.T @ design
        normal.diagonal().add_(1e-3)
        solved = torch.linalg.solve(normal, design.T @ z)
        centres, shift = solved[:count], solved[count:]
        y = z - v @ shift
        spread = member.T @ y.square() - 2 * centres * (member.T @ y)
        variance = (spread + centres.square() * member.sum(dim=0)[:, None]).sum(dim=0) / len(z)
        variance = variance.clamp_min(1e-6 * z.var(dim=0))
        weights = _diversity(member, v)
        member, likelihood = _membership(y, v, centres, none, weights, 1 / variance)
    mean = likelihood.mean() - variance.log().sum() / 2
    return _Common(mean, shift, member, variance)


def _diversity(member: Tensor, v: Tensor) -> Tensor:
    """Log-weights (B, K): larger where a cluster has fewer of a batch than of all samples."""
    seen = v.T @ member
    expected = seen.sum(dim=1, keepdim=True) * seen.sum(dim=0) / seen.sum()
    return DIVERSITY * ((expected + 1) / (seen + 1)).log()


def _membership(
    z: Tensor, v: Tensor, centres: Tensor, offsets: Tensor, weights: Tensor, precision: Tensor
) -> tuple[Tensor, Tensor]:
    """Memberships of points, (N, K), and the log of what they were divided by, (N,)."""
    logits = z.new_zeros(len(z), len(centres))
    for number in range(v.shape[1]):
        rows = v[:, number] > 0
        scale = precision.sqrt()
        distance = torch.cdist(z[rows] * scale, (centres + offsets[number]) * scale).square()
        logits[rows] = weights[number] - distance / 2
    return logits.softmax(dim=-1), logits.logsumexp(dim=-1)


def _regress(z: Tensor, v: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (K, C) and offsets of the batches in each cluster, (B, K, C), by ridge regression."""
    design = torch.cat([torch.ones_like(v[:, :1]), v], dim=1)
    normal = torch.einsum("nk,ni,nj->kij", member, design, design)
    ridge = torch.full_like(normal[0, 0], RIDGE)
    ridge[0] = 1e-6
    solved = torch.linalg.solve(
        normal + ridge.diag(), torch.einsum("nk,ni,nc->kic", member, design, z)
    )
    return solved[:, 0], solved[:, 1:].transpose(0, 1)
