"""Virtual adversarial training: the nearby copy of a sample on which q(c|x) changes most."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mixvae.objectives.divergences import categorical_kl


def virtual_adversarial_copy(
    x: Tensor,
    log_q_of: Callable[[Tensor], Tensor],
    radius: Tensor | float,
    *,
    xi: float = 10.0,
    num_power_steps: int = 1,
    log_q_clean: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Move each sample a given distance in the direction that changes its q(c|x) most.

    The direction is found for each agent and sample by power iteration on the divergence
    KL(q(c|x) || q(c|x + r)). Only the gradient in r is taken: parameters and their `.grad` stay
    untouched, even if the caller disabled gradients. If the divergence has no
    gradient, the random start direction is kept.

    Args:
        x: Samples, or copies of them, one per agent, shape (A, B, *shape).
        log_q_of: log q(c|x), nats, normalised, shape (A, B, K), of such copies; each row must
            depend on its own copy only, and be the same on each call (no dropout).
        radius: Length of the step in units of x, shape (B,), (A, B) or one number.
        xi: Length of the probe at which the gradient is taken, in units of x, above 0.
        num_power_steps: Power iterations, at least 1; each costs a forward and a backward pass.
        log_q_clean: log q(c|x) at x if already known; saves one forward pass.
        generator: Source of randomness on the device of x; None takes the global one.

    Returns:
        x + radius * d with |d| = 1 per agent and sample, shape (A, B, *shape), without gradient.

    Source:
        Miyato et al. 2018, section 3.3 and algorithm 1; IMSAT (Hu et al. 2017), which uses
        xi = 10, one step and a radius per sample. Such a probe is far from infinitesimal.
    """
    if not xi > 0:
        raise ValueError(f"xi must be above 0, got {xi}")
    if num_power_steps < 1:
        raise ValueError(f"num_power_steps must be at least 1, got {num_power_steps}")
    # Leaves inference mode too: Lightning validates in it, and it allows no gradient.
    with torch.inference_mode(False):
        x = x.detach()
        start = torch.empty_like(x, memory_format=torch.contiguous_format)
        start.normal_(generator=generator)
        direction = _unit(start, fallback=start)
        with torch.no_grad():
            clean = log_q_of(x) if log_q_clean is None else log_q_clean.detach()
        for _ in range(num_power_steps):
            with torch.enable_grad():
                probe = (x + xi * direction).requires_grad_()
                change = categorical_kl(clean, log_q_of(probe)).sum()
                (gradient,) = torch.autograd.grad(change, probe)
            direction = _unit(gradient, fallback=direction)
        # A tensor made from a number lies on the CPU, and a GPU waits for it.
        length = radius.to(x).detach() if isinstance(radius, Tensor) else x.new_full((), radius)
        length = length.expand(x.shape[:2]).reshape(*x.shape[:2], *[1] * (x.dim() - 2))
        return x + length * direction


def neighbour_radius(x: Tensor, ratio: float, k: int) -> Tensor:
    """Give each sample a radius: a share of the distance to its k-th nearest other in the batch.

    So a step of this length is small where the data are dense and large where they are sparse.

    Args:
        x: Samples, shape (B, *shape).
        ratio: Share of that distance, above 0.
        k: Rank of the neighbour, 1 is the nearest; the farthest if the batch has fewer.

    Returns:
        Shape (B,), Euclidean, in units of x, without gradient; 0 in a batch of one.

    Source:
        IMSAT (Hu et al. 2017), with ratio .25 and k = 10 over the whole data set; in the
        batch here, so no table over the data set is needed. Neighbours in a batch are farther.
    """
    if not ratio > 0:
        raise ValueError(f"ratio must be above 0, got {ratio}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    flat = x.detach().flatten(start_dim=1)
    if len(flat) < 2:
        return flat.new_zeros(len(flat))
    # For many samples cdist expands the square, whose terms cancel far from 0.
    flat = flat - flat.mean(dim=0)
    distance = torch.cdist(flat, flat).fill_diagonal_(torch.inf)
    return ratio * distance.kthvalue(min(k, len(flat) - 1), dim=1).values


def _unit(vector: Tensor, fallback: Tensor) -> Tensor:
    """Scale each (agent, sample) of (A, B, *shape) to length 1; `fallback` where it is 0."""
    flat = vector.flatten(start_dim=2)
    # By the largest entry first: squares of small gradients underflow in float32.
    largest = flat.abs().amax(dim=-1, keepdim=True)
    scaled = flat / torch.where(largest > 0, largest, 1.0)
    unit = scaled / torch.where(largest > 0, scaled.norm(dim=-1, keepdim=True), 1.0)
    return torch.where(largest > 0, unit, fallback.flatten(start_dim=2)).view_as(vector)
