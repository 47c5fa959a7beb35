"""Categories that share samples in doubt are put together; a gap between samples keeps them."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.evaluation.merging import (
    group_categories,
    merging_path,
    most_agreed,
    overlapping_groups,
)


def soft(x: np.ndarray, centres: list[float], sharpness: float) -> np.ndarray:
    """Assignment of points on a line to centres, shape (N, K)."""
    logits = -sharpness * np.square(x[:, None] - np.array(centres))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.fixture
def points() -> np.ndarray:
    """Three types on a line, of unequal size, with gaps between them."""
    random = np.random.default_rng(0)
    sizes = (1800, 900, 300)
    return np.concatenate(
        [random.uniform(c - 1, c + 1, n) for c, n in zip((0, 5, 10), sizes, strict=True)]
    )


CUTS = [
    [-0.5, 0.5, 5.0, 10.0, 99.0],  # the largest cut in two, one category empty
    [0.0, 4.5, 5.5, 9.5, 10.5],
    [0.3, -0.7, 5.0, 10.3, 9.2],
]


def overlaps(points: np.ndarray) -> np.ndarray:
    probs = [soft(points, centres, 3.0) for centres in CUTS]
    return np.stack([one.T @ one for one in probs])


def merged(points: np.ndarray, groups: object, agent: int) -> np.ndarray:
    """Group of each point."""
    category = soft(points, CUTS[agent], 3.0).argmax(axis=1)
    place = np.argsort(groups.order[agent])
    return groups.name[agent][place][category]


def joint_of(points: np.ndarray, cuts: list[list[float]]) -> dict[int, np.ndarray]:
    """Joint counts of the agents' groups, by their number."""
    probs = [soft(points, centres, 3.0) for centres in cuts]
    path = merging_path(np.stack([one.T @ one for one in probs]))
    found = {}
    for number, groups in path.items():
        members = [np.eye(number)[group] for group in groups]
        hard = [np.eye(number)[(q @ m).argmax(1)] for q, m in zip(probs, members, strict=True)]
        found[number] = np.einsum("ani,bnj->abij", hard, hard).astype(np.int64)
    return found


def test_each_type_becomes_one_group_whatever_the_cuts(points: np.ndarray) -> None:
    number = most_agreed(joint_of(points, CUTS))
    groups = group_categories(overlaps(points), number)
    assert groups.num_groups == 3
    for agent in range(3):
        group = merged(points, groups, agent)
        ranges = [np.unique(group[points < 2]), np.unique(group[(points > 2) & (points < 8)])]
        ranges.append(np.unique(group[points > 8]))
        assert [len(one) for one in ranges] == [1, 1, 1]
        assert len(np.unique(np.concatenate(ranges))) == 3


def test_order_is_a_permutation_that_begins_with_the_largest_of_each_group(
    points: np.ndarray,
) -> None:
    table = overlaps(points)
    groups = group_categories(table, 3)
    for agent in range(3):
        assert sorted(groups.order[agent]) == list(range(5))
        np.testing.assert_array_equal(groups.name[agent, :3], range(3))
        mass = table[agent].sum(axis=1)[groups.order[agent]]
        for place in range(3, 5):
            assert mass[place] <= mass[groups.name[agent, place]]


def everyone(table: np.ndarray) -> np.ndarray:
    """Three agents, every two of which have this table."""
    return np.broadcast_to(table, (3, 3, *table.shape))


def test_groups_that_agents_share_are_kept_and_cuts_that_they_do_not_share_are_merged() -> None:
    types = np.diag([40, 30, 20, 10])
    joined = np.diag([70, 30])
    # The largest type cut in two, at a place of each agent's own.
    cut = np.zeros((5, 5), dtype=int)
    cut[:2, :2], cut[2:, 2:] = 10, np.diag([30, 20, 10])
    # Agents agree on the two groups wholly as well, but those say less.
    assert most_agreed({5: everyone(cut), 4: everyone(types), 2: everyone(joined)}) == 4


def test_the_smallest_number_within_a_standard_error_of_the_best_is_taken() -> None:
    # Pairs of agents share log 4, .94 and log 4 nats of four groups: 1.24 with an error of .12.
    four = np.array(everyone(np.diag([25] * 4)))
    four[0, 2] = np.diag([70, 10, 10, 10])
    three = np.diag([40, 40, 20])  # 1.05 nats
    near = np.diag([40, 30, 30])  # 1.09 nats
    nearer = np.diag([34, 33, 33])  # 1.10 nats
    assert most_agreed({4: four, 3: everyone(three)}) == 4
    assert most_agreed({4: four, 3: everyone(near)}) == 4
    assert most_agreed({4: everyone(four[0, 1]), 3: everyone(nearer)}) == 4
    four[0, 2] = np.diag([97, 1, 1, 1])  # .17 nats: .98 with an error of .33
    assert most_agreed({4: four, 2: everyone(np.diag([50, 50]))}) == 2  # .69 nats


def test_an_agent_that_takes_two_types_for_one_is_outvoted(points: np.ndarray) -> None:
    table = overlaps(points)
    blind = soft(points, [-0.5, 0.5, 7.5, 50.0, 99.0], 3.0)
    joined = np.concatenate([table, (blind.T @ blind)[None]])
    assert overlapping_groups(joined, 0.05) == 3
    assert overlapping_groups(joined[2:], 0.05) == 2  # two agents have to agree


def test_nothing_in_doubt_is_merged_by_share_alone() -> None:
    sizes = np.array([50.0, 30.0, 20.0])
    assert overlapping_groups(np.diag(sizes)[None], 0.05) == 3


def test_small_groups_without_doubt_are_not_merged_first() -> None:
    table = np.diag([50.0, 30.0, 20.0, 2.0])
    table[0, 1] = table[1, 0] = 3.0
    np.testing.assert_array_equal(merging_path(table[None])[3], [[0, 0, 1, 2]])
