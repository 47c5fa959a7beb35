"""Merging an agent's categories that are parts of one type: those without a valley between them.

An agent with more categories than the data have types cuts some types in two. Samples are as dense
across such a cut as beside it; between two types they are sparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mixvae.evaluation.clustering import entropy
from mixvae.evaluation.valleys import SIGNIFICANT, significance, valley
from mixvae.objectives.assignment import align_agents, joint_counts, match_categories

LEAST_GROUPS = 2
FEW = 10
"""Samples below which a category's density is not estimated: it joins another by probability."""
Floats = NDArray[np.float64]


class Path(NamedTuple):
    """Groupings of each agent's categories, by the number G of groups, K down to 2.

    Attributes:
        group: Group of each category, shape (A, K), 0..G-1.
        depth: The valley merged last, see `valley`, shape (A,); infinite where a category of few
            samples was, or none.
    """

    group: dict[int, NDArray[np.int64]]
    depth: dict[int, Floats]


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


def merging_path(points: NDArray[np.floating], probs: NDArray[np.floating]) -> Path:
    """Merge the categories of each agent with the shallowest valley, two at a time, down to two.

    Categories of fewer samples than `FEW` are merged first, the emptiest before others, each into
    the one whose samples give it most probability. Mutual information does not mind that a type
    has several categories at once, one of which is always the most probable: the others look
    empty, and hold much of the type.

    Args:
        points: Samples, shape (N, C), in standard deviations of noise.
        probs: q(c|x) of each sample by each agent, shape (A, N, K).

    Source:
        Ours; merging components whose samples have no gap between them is the "ridgeline" idea of
        Hennig 2010, here along one axis.
    """
    paths = [_merge(points.astype(np.float64), one) for one in probs]
    return Path(
        {number: np.stack([path[number][0] for path in paths]) for number in paths[0]},
        {number: np.array([path[number][1] for path in paths]) for number in paths[0]},
    )


def _merge(
    points: Floats, probs: NDArray[np.floating]
) -> dict[int, tuple[NDArray[np.int64], float]]:
    """The grouping of one agent, and the valley merged last, by the number of groups."""
    category, num_categories = probs.argmax(axis=1), probs.shape[1]
    group = np.arange(num_categories)
    alive = list(range(num_categories))
    path = {num_categories: (group.copy(), np.inf)}
    depth: dict[tuple[int, int], float] = {}
    size = np.bincount(category, minlength=num_categories)
    # Probability of category k over the samples of j, as [k, j].
    shared = probs.T.astype(np.float64) @ (category[:, None] == group)
    while len(alive) > LEAST_GROUPS:
        few = [k for k in alive if size[k] < FEW]
        if few:
            gone = min(few, key=lambda k: int(size[k]))
            kept = max((k for k in alive if k != gone), key=lambda k: float(shared[gone, k]))
        else:
            for pair in ((i, j) for i in alive for j in alive if i < j):
                if pair not in depth:
                    depth[pair] = valley(points[category == pair[0]], points[category == pair[1]])
            kept, gone = max(depth, key=lambda pair: depth[pair])
        merged = np.inf if few else depth[kept, gone]
        category[category == gone] = kept
        for counts in (size, shared, shared.T):
            counts[kept] += counts[gone]
        size[gone] = 0
        group[group == gone] = kept
        alive.remove(gone)
        depth = {pair: value for pair, value in depth.items() if not {kept, gone} & {*pair}}
        path[len(alive)] = np.searchsorted(alive, group).astype(np.int64), merged
    return path


def separate_groups(path: Path, max_valley: float) -> int:
    """The number of groups when only categories with shallower valleys are merged.

    The largest number that two agents find independently, since an agent that merges two types has
    too few.
    """
    counts = []
    for agent in range(len(next(iter(path.depth.values())))):
        number = max(path.depth)
        while number > LEAST_GROUPS and path.depth[number - 1][agent] > max_valley:
            number -= 1
        counts.append(number)
    return sorted(counts)[-min(2, len(counts))]


def joint_of_groups(
    category: NDArray[np.int64], group: Mapping[int, NDArray[np.int64]]
) -> dict[int, NDArray[np.int64]]:
    """Samples that agent a puts into group i and agent b into j, (A, A, G, G), by their number G.

    Args:
        category: Category of each sample by each agent, shape (A, N).
        group: See `Path`.
    """
    return {number: joint_of_one(category, groups) for number, groups in group.items()}


def joint_of_one(category: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """As `joint_of_groups`, shape (A, A, G, G), of one grouping, shape (A, K), 0..G-1."""
    named = torch.from_numpy(np.take_along_axis(group, category, axis=1))
    found: NDArray[np.int64] = joint_counts(named, int(group.max()) + 1).numpy()
    return found


def most_agreed(joint: Mapping[int, ArrayLike]) -> int:
    """The number of groups of which the agents share most information, less what they do not.

    Agents that start apart find the same groups only where the data have them. A group that cuts a
    type falls differently in each agent: it adds information that the other does not have. Groups
    that join types lose information that both have. So numbers are compared by the mean over pairs
    of agents of I(a; b) - (H(a|b) + H(b|a)) / 2, in nats: shared less unshared. Of equal ones the
    smallest number is taken.

    Args:
        joint: Samples that agent a puts into group i and agent b into j, shape (A, A, G, G) as
            [a, b, i, j], A at least 2, by the number G of groups.

    Source:
        Ours. Model order by the agents' agreement is cpl-mixVAE's; the unshared part is half the
        variation of information (Meila 2007).
    """
    shared = {number: _shared_information(np.asarray(table)) for number, table in joint.items()}
    return max(shared, key=lambda number: (shared[number], -number))


def _shared_information(joint: NDArray[np.int64]) -> float:
    """Mean of I(a; b) - (H(a|b) + H(b|a)) / 2 over pairs of agents, nats."""
    values = []
    for a, b in zip(*np.triu_indices(len(joint), k=1), strict=True):
        table = joint[a, b]
        own = entropy(table.sum(axis=0)) + entropy(table.sum(axis=1))
        # The conditional entropies are H(a) - I and H(b) - I, and I is H(a) + H(b) - H(a, b).
        values.append(1.5 * own - 2 * entropy(table.ravel()))
    return float(np.mean(values))


def found_by_most(category: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join each group that at most half of the agents have to where the others put its samples.

    An agent has a group of at least `FEW` samples. Groups are matched between agents first.

    Args:
        category: Category of each sample by each agent, shape (A, N).
        group: Group of each category, shape (A, K), 0..G-1; returned as it is if fewer than two
            groups are found by most agents.
    """
    number = int(group.max()) + 1
    names, named = _shared_names(category, group)
    size = np.stack([np.bincount(one, minlength=number) for one in named])
    kept = (size >= FEW).mean(axis=0) > 1 / 2
    if kept.sum() < LEAST_GROUPS:
        return group
    target = np.arange(number)
    for gone in np.flatnonzero(~kept):
        votes = named[:, (named == gone).any(axis=0)]
        target[gone] = np.argmax(np.bincount(votes.ravel(), minlength=number) * kept)
    return (np.cumsum(kept) - 1)[target][names]


def _shared_names(
    category: NDArray[np.int64], group: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups named as the matching ones of other agents: of categories, (A, K), and of samples."""
    shared = np.argsort(align_agents(joint_of_one(category, group)), axis=1)
    names = np.take_along_axis(shared, group, axis=1)
    return names, np.take_along_axis(names, category, axis=1)


def without_cuts(
    points: NDArray[np.floating], category: NDArray[np.int64], group: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Join groups of the agents' vote without a significant valley between them.

    Agents agree also on a cut through one type along an axis on which it varies much. The least
    significant valley goes first. Groups of fewer samples than `FEW` stay.

    Args:
        points: As in `merging_path`.
        category: Category of each sample by each agent, shape (A, N).
        group: Group of each category, shape (A, K), 0..G-1.
    """
    names, named = _shared_names(category, group)
    target, seen = np.arange(int(names.max()) + 1), points.astype(np.float64)
    voted = np.stack([(named == one).sum(axis=0) for one in target]).argmax(axis=0)
    found: dict[tuple[int, int], float] = {}
    while len(np.unique(target)) > LEAST_GROUPS:
        for pair in combinations(np.flatnonzero(np.bincount(voted) >= FEW).tolist(), 2):
            if pair not in found:
                found[pair] = significance(*(seen[voted == one] for one in pair))
        if min(found.values(), default=np.inf) > SIGNIFICANT:
            break
        kept, gone = min(found, key=lambda pair: found[pair])
        voted[voted == gone] = target[target == gone] = kept
        found = {pair: value for pair, value in found.items() if not {kept, gone} & {*pair}}
    return np.unique(target, return_inverse=True)[1][names]


def agreement(joint: ArrayLike) -> float:
    """Share of the samples on which two agents agree, after matching; mean over pairs of agents.

    Args:
        joint: Samples that agent a puts into group i and agent b into j, shape (A, A, G, G); 1 for
            one agent alone.
    """
    tables = np.asarray(joint)
    pairs = [tables[a, b] for a, b in zip(*np.triu_indices(len(tables), k=1), strict=True)]
    shares = [pair[range(len(pair)), match_categories(pair)].sum() / pair.sum() for pair in pairs]
    return float(np.mean(shares)) if shares else 1.0


def as_groups(group: NDArray[np.int64], size: NDArray[np.int64]) -> Groups:
    """Order each agent's categories by their groups.

    Args:
        group: Group of each category, shape (A, K), 0..G-1.
        size: Samples in each category, shape (A, K).
    """
    num_groups = int(group.max()) + 1
    order = np.zeros_like(group)
    for agent, (one, sizes) in enumerate(zip(group, size, strict=True)):
        by_size = np.argsort(-sizes, kind="stable")
        first = [next(k for k in by_size if one[k] == g) for g in range(num_groups)]
        order[agent] = [*first, *(k for k in range(len(one)) if k not in first)]
    return Groups(order, np.take_along_axis(group, order, axis=1), num_groups)
