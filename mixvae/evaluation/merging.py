"""Merging an agent's categories that are parts of one type: those with samples in doubt between.

An agent with more categories than the data have types cuts some types in two. Samples lie across
such a cut, and q(c|x) is divided near it; between two types there is a gap, and it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def merging_path(overlap: ArrayLike) -> dict[int, NDArray[np.int64]]:
    """Merge the most overlapping categories of each agent, two at a time, down to two groups.

    Two categories overlap by the mean of q(i|x) q(j|x) over samples, divided by the smaller of the
    means of q(i|x) and q(j|x): the probability that uncertainty moves a sample of the smaller into
    the other.

    Args:
        overlap: Sums over samples of q(i|x) q(j|x) of each agent, shape (A, K, K).

    Returns:
        The group of each category, shape (A, K), 0..G-1, by the number G of groups, 2 to K.

    Source:
        Ours; merging mixture components by the doubt between them is Baudry et al. 2010's idea,
        whose criterion is the entropy.
    """
    paths = [_merge(one) for one in np.asarray(overlap, dtype=np.float64)]
    return {number: np.stack([path[number].group for path in paths]) for number in paths[0]}


def overlapping_groups(overlap: ArrayLike, max_overlap: float) -> int:
    """The number of groups when only categories that overlap more than so are merged.

    The largest number that two agents find independently, since an agent that merges two types has
    too few.

    Args:
        overlap: As of `merging_path`.
        max_overlap: In (0, 1).
    """
    counts = []
    for one in np.asarray(overlap, dtype=np.float64):
        path, number = _merge(one), len(one)
        while number > LEAST_GROUPS and path[number - 1].overlap > max_overlap:
            number -= 1
        counts.append(number)
    return sorted(counts)[-min(2, len(counts))]


def most_agreed(joint: Mapping[int, ArrayLike]) -> int:
    """The number of groups of which the agents share most information, less what they do not.

    Agents that start apart find the same groups only where the data have them. A group that cuts a
    type falls differently in each agent: it adds information that the other does not have. Groups
    that join types lose information that both have. So numbers are compared by the mean over pairs
    of agents of I(a; b) - (H(a|b) + H(b|a)) / 2, in nats: shared less unshared. The smallest one
    within a standard error of the best is taken.

    Args:
        joint: Samples that agent a puts into group i and agent b into j, shape (A, A, G, G) as
            [a, b, i, j], A at least 2, by the number G of groups.

    Source:
        Ours. Model order by the agents' agreement is cpl-mixVAE's; the unshared part is half the
        variation of information (Meila 2007), the rule of one standard error Breiman et al. 1984's.
    """
    shared = {number: _shared_information(np.asarray(table)) for number, table in joint.items()}
    mean, error = max(shared.values())
    return min(number for number, one in shared.items() if one[0] >= mean - error)


def _shared_information(joint: NDArray[np.int64]) -> tuple[float, float]:
    """Mean of I(a; b) - (H(a|b) + H(b|a)) / 2 over pairs of agents, nats; its standard error."""
    values = []
    for a, b in zip(*np.triu_indices(len(joint), k=1), strict=True):
        table = joint[a, b]
        own = _entropy(table.sum(axis=0)) + _entropy(table.sum(axis=1))
        # The conditional entropies are H(a) - I and H(b) - I, and I is H(a) + H(b) - H(a, b).
        values.append(1.5 * own - 2 * _entropy(table.ravel()))
    # Pairs that share an agent are not independent: agents are counted.
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(joint)))


def _entropy(counts: NDArray[np.int64]) -> float:
    """Entropy of the shares of counts, nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def group_categories(overlap: ArrayLike, num_groups: int) -> Groups:
    """Merge the categories of each agent into a number of groups, as on `merging_path`.

    Args:
        overlap: Sums over samples of q(i|x) q(j|x) of each agent, shape (A, K, K).
        num_groups: Number of groups, from 2 to K.
    """
    table = np.asarray(overlap, dtype=np.float64)
    num_agents, num_categories, _ = table.shape
    if not LEAST_GROUPS <= num_groups <= num_categories:
        raise ValueError(
            f"{num_categories} categories cannot be merged into {num_groups};"
            f" choose {LEAST_GROUPS} to {num_categories}"
        )
    groups = merging_path(table)[num_groups]
    order = np.zeros((num_agents, num_categories), dtype=np.int64)
    name = np.zeros_like(order)
    for agent, (one, group) in enumerate(zip(table, groups, strict=True)):
        by_size = np.argsort(-one.sum(axis=1), kind="stable")
        first = [next(k for k in by_size if group[k] == g) for g in range(num_groups)]
        rest = [k for k in range(num_categories) if k not in first]
        order[agent] = [*first, *rest]
        name[agent] = group[order[agent]]
    return Groups(order, name, num_groups)


class _Merged(NamedTuple):
    """Group of each category, shape (K,), and the overlap that was merged last."""

    group: NDArray[np.int64]
    overlap: float


def _merge(table: NDArray[np.float64]) -> dict[int, _Merged]:
    """The grouping for each number of groups, K down to 2."""
    table = table.copy()
    group = np.arange(len(table))
    alive = list(range(len(table)))
    path = {len(alive): _Merged(group.copy(), 1.0)}
    while len(alive) > LEAST_GROUPS:
        mass = np.maximum(table.sum(axis=1), SMALLEST_MASS)
        share = table / np.minimum(mass[:, None], mass)
        # An unused category has no measurable overlap: it is merged first.
        share[np.minimum(mass[:, None], mass) <= SMALLEST_MASS * len(table)] = np.inf
        pairs = [(share[i, j], i, j) for i in alive for j in alive if i < j]
        largest, i, j = max(pairs, key=lambda pair: pair[0])
        table[i] += table[j]
        table[:, i] += table[:, j]
        group[group == j] = i
        alive.remove(j)
        names = np.searchsorted(alive, group).astype(np.int64)
        path[len(alive)] = _Merged(names, float(largest))
    return path
