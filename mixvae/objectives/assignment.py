"""Matching the categories of one agent to those of another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def joint_counts(assignment: Tensor, num_categories: int) -> Tensor:
    """Count, for every two agents, the samples by their two categories.

    Args:
        assignment: Category of each sample for each agent, shape (A, B), int64, in [0, K).

    Returns:
        Samples that agent a puts into category i and agent b into j, shape (A, A, K, K) as
        [a, b, i, j], int64, summed over B.

    Source:
        Ours.
    """
    num_agents = assignment.shape[0]
    num_cells = num_categories**2
    cell = assignment.unsqueeze(1) * num_categories + assignment.unsqueeze(0)
    pair = torch.arange(num_agents**2, device=assignment.device).view(num_agents, num_agents, 1)
    places = (cell + pair * num_cells).flatten()
    # Not bincount, which synchronises the CPU with the GPU.
    counts = places.new_zeros(pair.numel() * num_cells).scatter_add_(
        0, places, torch.ones_like(places)
    )
    return counts.view(num_agents, num_agents, num_categories, num_categories)


def match_categories(counts: ArrayLike) -> NDArray[np.int64]:
    """Pair rows with columns one to one so that as many samples as possible agree.

    Of equally good pairings one with many pairs (k, k) is taken, so empty categories stay in place
    and matching twice changes nothing.

    Args:
        counts: Samples in row category i and column category j, shape (K, K), at least 0; weights
            that are not whole numbers are fine.

    Returns:
        The column of each row, shape (K,), int64: a permutation.

    Source:
        Kuhn 1955, as in scipy; the preference among equals is ours.
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"counts must be a square table, got shape {table.shape}")
    if not (np.isfinite(table).all() and (table >= 0).all()):
        raise ValueError("counts must be finite and at least 0")
    # All preferences together stay below the smallest difference that matters: one sample.
    whole = np.array_equal(table, np.rint(table))
    difference = 1.0 if whole else 1e-9 * table.sum()
    preference = np.eye(len(table)) * difference / (len(table) + 1)
    _, columns = linear_sum_assignment(table + preference, maximize=True)
    return np.asarray(columns, dtype=np.int64)


def align_agents(joint: ArrayLike, reference: int | None = None) -> NDArray[np.int64]:
    """Rename each agent's categories after the reference agent's that they match best.

    Args:
        joint: Samples that agent a puts into category i and agent b into j, shape (A, A, K, K) as
            [a, b, i, j], from `joint_counts`.
        reference: The agent whose names are kept; None takes the one that agrees most with all
            others after matching (the medoid; the first of equals).

    Returns:
        Permutations, shape (A, K), int64: the new category k of agent a is its old category
        `[a, k]`. The reference keeps the identity.

    Source:
        Ours: agents that first find their categories alone end with much the same ones in another
        order, and a coupling started then pulls between permutations.
    """
    table = np.asarray(joint, dtype=np.float64)
    if table.ndim != 4 or table.shape[0] != table.shape[1] or table.shape[2] != table.shape[3]:
        raise ValueError(f"joint counts must have shape (A, A, K, K), got {table.shape}")
    num_agents = len(table)
    if reference is None:
        reference = _medoid(table)
    if not 0 <= reference < num_agents:
        raise ValueError(f"the reference agent must be in [0, {num_agents}), got {reference}")
    permutations = [match_categories(table[reference, agent]) for agent in range(num_agents)]
    permutations[reference] = np.arange(table.shape[2])
    return np.stack(permutations)


def assign_balanced(cost: ArrayLike, pair_cost: float) -> NDArray[np.int64]:
    """Put each sample into a category at the least cost, where crowds cost more.

    The n-th sample of a category costs `pair_cost * (n - 1)` on top, so the sum is the samples' own
    costs and `pair_cost` for each pair that shares a category.

    Args:
        cost: Cost of each sample in each category, nats, shape (B, K), finite.
        pair_cost: Nats for each pair in one category, at least 0; 0 takes the cheapest category.

    Returns:
        The category of each sample, shape (B,), int64: an exact minimum.

    Source:
        CascadeVAE (Jeong & Song 2019), eq. (6), there solved as a minimum-cost flow over rounded
        costs. Here as the rectangular assignment with copied columns that it equals, and only
        over samples whose best category could change with the crowd: where another category costs
        more by B pairs or more, no minimum contains it.
    """
    table = np.asarray(cost, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 1 or not np.isfinite(table).all():
        raise ValueError(f"costs must be a finite table (B, K), got shape {table.shape}")
    if not pair_cost >= 0:
        raise ValueError(f"the pair cost must be at least 0 nats, got {pair_cost}")
    category: NDArray[np.int64] = table.argmin(axis=1)
    if pair_cost == 0 or table.shape[1] == 1:
        return category
    first, second = np.partition(table, 1, axis=1)[:, :2].T
    open_to = second - first <= pair_cost * len(table)
    if not open_to.any():
        return category
    # The cost of a category by the sample's place in it.
    taken = np.bincount(category[~open_to], minlength=table.shape[1])
    places = taken[:, None] + np.arange(int(open_to.sum()))
    columns = table[open_to][:, :, None] + pair_cost * places
    _, chosen = linear_sum_assignment(columns.reshape(len(columns), -1))
    category[open_to] = chosen // len(columns)
    return category


def _medoid(table: NDArray[np.float64]) -> int:
    """The agent with the largest sum, over the others, of samples that agree once matched."""
    num_agents, _, num_categories, _ = table.shape
    agreement = np.zeros((num_agents, num_agents))
    for a, b in zip(*np.triu_indices(num_agents, k=1), strict=True):
        columns = match_categories(table[a, b])
        agreement[a, b] = agreement[b, a] = table[a, b, np.arange(num_categories), columns].sum()
    return int(agreement.sum(axis=1).argmax())
