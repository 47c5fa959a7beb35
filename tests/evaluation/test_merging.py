"""Categories that share samples in doubt are put together; a gap between samples keeps them."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.evaluation.merging import group_categories


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


@pytest.mark.parametrize("num_groups", [None, 3])
def test_each_type_becomes_one_group_whatever_the_cuts(
    points: np.ndarray, num_groups: int | None
) -> None:
    groups = group_categories(overlaps(points), 0.05, num_groups)
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
    groups = group_categories(table, 0.05)
    for agent in range(3):
        assert sorted(groups.order[agent]) == list(range(5))
        np.testing.assert_array_equal(groups.name[agent, :3], range(3))
        mass = table[agent].sum(axis=1)[groups.order[agent]]
        for place in range(3, 5):
            assert mass[place] <= mass[groups.name[agent, place]]


def test_an_agent_that_takes_two_types_for_one_is_outvoted(points: np.ndarray) -> None:
    table = overlaps(points)
    blind = soft(points, [-0.5, 0.5, 7.5, 50.0, 99.0], 3.0)
    joined = np.concatenate([table, (blind.T @ blind)[None]])
    assert group_categories(joined, 0.05).num_groups == 3
    assert group_categories(joined[2:], 0.05).num_groups == 2  # two agents have to agree


def test_nothing_in_doubt_is_merged_by_share_alone() -> None:
    sizes = np.array([50.0, 30.0, 20.0])
    assert group_categories(np.diag(sizes)[None], 0.05).num_groups == 3
