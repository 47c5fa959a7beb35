"""k-means: centres that are the means of the points nearest to them."""

from __future__ import annotations

import torch
from torch import Tensor


def k_means(
    x: Tensor,
    num_centres: int,
    *,
    num_restarts: int = 8,
    num_iterations: int = 50,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Centres with a small sum of squared distances, the best of some restarts.

    Args:
        x: Points, shape (N, S), N at least `num_centres`, finite.
        num_centres: Number of centres K, at least 1.
        num_restarts: Number of starts; the best is kept.
        num_iterations: Largest number of steps.
        generator: Source of randomness on the CPU; None takes the global one.

    Returns:
        Centres, shape (K, S), in the unit of x. A centre without points stays where it was.

    Source:
        Lloyd 1982; starts by k-means++ (Arthur & Vassilvitskii 2007).
    """
    if len(x) < num_centres:
        raise ValueError(f"{num_centres} centres need as many points, got {len(x)}")
    centres = _spread_starts(x, num_centres, num_restarts, generator)
    for _ in range(num_iterations):
        near = torch.cdist(x.expand(num_restarts, *x.shape), centres).argmin(dim=-1)
        moved = _means(x, near, centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    distance = torch.cdist(x.expand(num_restarts, *x.shape), centres).amin(dim=-1)
    best: Tensor = centres[distance.square().sum(dim=-1).argmin()]
    return best


def _spread_starts(
    x: Tensor, num_centres: int, num_restarts: int, generator: torch.Generator | None
) -> Tensor:
    """Points drawn far from each other, shape (R, K, S)."""
    nearest = torch.ones(num_restarts, len(x), device=x.device)
    centres: list[Tensor] = []
    for _ in range(num_centres):
        # If all points already lie on centres, any will do.
        weight = torch.where(nearest.sum(dim=-1, keepdim=True) > 0, nearest, 1.0)
        row = torch.multinomial(weight.cpu(), 1, generator=generator).squeeze(-1).to(x.device)
        centres.append(x[row])
        distance = (x - x[row].unsqueeze(1)).square().sum(dim=-1)
        nearest = torch.minimum(nearest, distance) if len(centres) > 1 else distance
    return torch.stack(centres, dim=1)


def _means(x: Tensor, near: Tensor, centres: Tensor) -> Tensor:
    """Means of the points of each centre, shape (R, K, S)."""
    member = torch.nn.functional.one_hot(near, centres.shape[1]).to(x.dtype)
    count = member.sum(dim=1).unsqueeze(-1)
    total = member.transpose(1, 2) @ x
    return torch.where(count > 0, total / count.clamp_min(1), centres)
