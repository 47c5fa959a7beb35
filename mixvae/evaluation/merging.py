"""Merging an agent's categories that are parts of one type: those with samples in doubt between.

An agent with more categories than the data have types cuts some types in two. Samples lie across
such a cut, and q(c|x) is divided near it; between two types there is a gap, and it is not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST_GROUPS = 2
SMALLEST_MASS = 1e-9


class Groups(NamedTuple):
    """G groups of each agent's categories.

    Attributes:
        order: For each agent a permutation of its categories, shape (A, K), int64: first the
            largest of each of the G groups, then the others.
        name: Group of each category in that order, shape (A, K), int64; 0..G-1 in the first G.
    """

    order: NDArray[np.int64]
    name: NDArray[np.int64]
    num_groups: int


def group_categories(
    overlap: ArrayLike, max_overlap: float, num_groups: int | None = None
) -> Groups:
    """Merge the most overlapping categories of each agent, two at a time.

    Two categories overlap by the mean of q(i|x) q(j|x) over samples, divided by the smaller of the
    means of q(i|x) and q(j|x): the probability that uncertainty moves a sample of the smaller into
    the other. All agents get the same number of groups: the largest that two of them find
    independently, since an agent that merges two types has too few.

    Args:
        overlap: Sums over samples of q(i|x) q(j|x) of each agent, shape (A, K, K).
        max_overlap: Categories that overlap more are merged, in (0, 1).
        num_groups: Number of groups, if known, from 2 to K; `max_overlap` is then ignored.

    Source:
        Ours; merging mixture components by the doubt between them is Baudry et al. 2010's idea,
        whose criterion is the entropy.
    """
    table = np.asarray(overlap, dtype=np.float64)
    num_agents, num_categories, _ = table.shape
    if num_groups is None:
        counts = sorted(int(_merge(one, max_overlap, LEAST_GROUPS).max()) + 1 for one in table)
        num_groups = counts[-min(2, num_agents)]
    if not LEAST_GROUPS <= num_groups <= num_categories:
        raise ValueError(
            f"{num_categories} categories cannot be merged into {num_groups};"
            f" choose {LEAST_GROUPS} to {num_categories}"
        )
    order = np.zeros((num_agents, num_categories), dtype=np.int64)
    name = np.zeros_like(order)
    for agent, one in enumerate(table):
        group = _merge(one, 0.0, num_groups)
        by_size = np.argsort(-one.sum(axis=1), kind="stable")
        first = [next(k for k in by_size if group[k] == g) for g in range(num_groups)]
        rest = [k for k in range(num_categories) if k not in first]
        order[agent] = [*first, *rest]
        name[agent] = group[order[agent]]
    return Groups(order, name, num_groups)


def _merge(table: NDArray[np.float64], max_overlap: float, num_groups: int) -> NDArray[np.int64]:
    """Group of each category, shape (K,), merged while an overlap is larger, down to num_groups."""
    table = table.copy()
    group = np.arange(len(table))
    alive = list(range(len(table)))
    while len(alive) > num_groups:
        mass = np.maximum(table.sum(axis=1), SMALLEST_MASS)
        share = table / np.minimum(mass[:, None], mass)
        # An unused category has no measurable overlap: it is merged first.
        share[np.minimum(mass[:, None], mass) <= SMALLEST_MASS * len(table)] = np.inf
        pairs = [(share[i, j], i, j) for i in alive for j in alive if i < j]
        largest, i, j = max(pairs, key=lambda pair: pair[0])
        if largest <= max_overlap:
            break
        table[i] += table[j]
        table[:, i] += table[:, j]
        group[group == j] = i
        alive.remove(j)
    return np.searchsorted(alive, group).astype(np.int64)
