"""Categories without a valley between them are put together; a gap between samples keeps them."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.evaluation.merging import (
    FEW,
    agreement,
    as_groups,
    found_by_most,
    joint_of_groups,
    merging_path,
    most_agreed,
    separate_groups,
    without_cuts,
)


@pytest.fixture
def points() -> np.ndarray:
    """Three types on a line, of unequal size, with gaps between them, and two axes of noise."""
    random = np.random.default_rng(0)
    sizes = (1800, 900, 300)
    line = [random.uniform(c - 1, c + 1, n) for c, n in zip((0, 5, 10), sizes, strict=True)]
    return np.column_stack([np.concatenate(line), random.normal(0, 0.1, (sum(sizes), 2))])


CUTS = [
    [-0.5, 0.5, 5.0, 10.0, 99.0],  # the largest cut in two, one category empty
    [0.0, 4.5, 5.5, 9.5, 10.5],
    [0.3, -0.7, 5.0, 10.3, 9.2],
]
K = 5


def assigned(points: np.ndarray, cuts: list[list[float]]) -> np.ndarray:
    """The nearest centre of each point, for each agent, one-hot, shape (A, N, K)."""
    return np.eye(K)[np.abs(points[None, :, :1] - np.array(cuts)[:, None, :]).argmin(axis=-1)]


@pytest.mark.parametrize("max_valley", [0.5, None])
def test_each_type_becomes_one_group_whatever_the_cuts(
    points: np.ndarray, max_valley: float | None
) -> None:
    probs = assigned(points, CUTS)
    path = merging_path(points, probs)
    if max_valley is None:
        number = most_agreed(joint_of_groups(probs.argmax(axis=-1), path.group))
    else:
        number = separate_groups(path, max_valley)
    assert number == 3
    truth = np.digitize(points[:, 0], [2.5, 7.5])
    for group, one in zip(path.group[3], probs.argmax(axis=-1), strict=True):
        assert len({(t, g) for t, g in zip(truth, group[one], strict=True)}) == 3


def test_joint_counts_are_those_of_the_groups(points: np.ndarray) -> None:
    probs = assigned(points, CUTS)
    category = probs.argmax(axis=-1)
    path = merging_path(points, probs)
    joint = joint_of_groups(category, path.group)
    assert joint.keys() == path.group.keys() == {2, 3, 4, 5}
    for number, table in joint.items():
        named = [group[one] for group, one in zip(path.group[number], category, strict=True)]
        for a in range(3):
            for b in range(3):
                expected = np.zeros((number, number), dtype=int)
                np.add.at(expected, (named[a], named[b]), 1)
                np.testing.assert_array_equal(table[a, b], expected)


def test_order_is_a_permutation_that_begins_with_the_largest_of_each_group(
    points: np.ndarray,
) -> None:
    probs = assigned(points, CUTS)
    size = probs.sum(axis=1).astype(int)
    group = merging_path(points, probs).group[3]
    groups = as_groups(group, size)
    assert groups.num_groups == 3
    for agent in range(3):
        assert sorted(groups.order[agent]) == list(range(K))
        np.testing.assert_array_equal(groups.name[agent, :3], range(3))
        np.testing.assert_array_equal(group[agent][groups.order[agent]], groups.name[agent])
        mass = size[agent][groups.order[agent]]
        for place in range(3, K):
            assert mass[place] <= mass[groups.name[agent, place]]


def test_a_small_category_joins_the_one_that_its_samples_would_go_to() -> None:
    random = np.random.default_rng(0)
    few = FEW - 1
    points = random.normal(size=(200 + few, 2))
    probs = np.eye(4)[np.repeat([0, 2, 3], [100, 100, few])]
    probs[100:200] += (0, 0, 0, 0.1)
    path = merging_path(points, probs[None])
    assert path.group[2][0, [0, 2, 3]].tolist() == [0, 1, 1]
    assert all(np.isinf(depth).all() for depth in path.depth.values())
    assert separate_groups(path, 0.5) == 2


def test_categories_that_are_never_the_most_probable_join_the_type_that_they_hold() -> None:
    """With its other categories the second type is whole; else they would outweigh the first."""
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 100)
    points = random.normal(size=(300, 2)) + 20 * np.eye(3)[truth][:, :2]
    probs = np.eye(9)[truth]
    probs[truth == 1] = (0, 0.2, 0, *np.full(5, 0.13), 0.15)
    both = np.stack([probs, np.roll(probs, 4, axis=1)])
    path = merging_path(points, both)
    for agent, moved in enumerate((0, 4)):
        parts = path.group[3][agent][(np.array([1, 3, 4, 5, 6, 7, 8]) + moved) % 9]
        assert (parts == parts[0]).all()
    joint = joint_of_groups(both.argmax(axis=-1), path.group)
    assert most_agreed(joint) == 3
    assert sorted(joint[3][0, 1].ravel()) == [0] * 6 + [100] * 3


def test_a_group_of_a_minority_joins_where_the_others_put_its_samples() -> None:
    truth = np.repeat([0, 1, 2, 3], [100, 80, 60, 40])
    cut = np.where((truth == 0) & (np.arange(280) < 30), 4, truth)  # a type in two
    rare = np.where(truth == 3, 2, truth)  # the smallest type is not found
    category = np.stack([truth, cut, (cut + 3) % 5, truth, rare])
    group = np.tile(np.arange(5), (5, 1))
    joined = found_by_most(category, group)
    assert joined.shape == (5, 5)
    for agent, one in enumerate(category[:4]):
        named = joined[agent][one]
        assert len(set(named)) == 4
        assert len(set(zip(truth, named, strict=True))) == 4
    lonely = np.array([[0] * 280, [1] * 280])
    np.testing.assert_array_equal(found_by_most(lonely, group[:2]), group[:2])


def test_a_cut_that_all_agents_make_through_one_type_is_joined() -> None:
    random = np.random.default_rng(0)
    wide, near, far = random.normal(size=(3, 1500, 3))
    wide[:, 0] *= 3  # the axis of the cut
    near[:, 1] += 4
    far[:, 1] -= 20
    points = np.concatenate([wide, near, far])
    truth = np.repeat([0, 1, 2], 1500)
    cut = np.where((truth == 0) & (points[:, 0] > 0), 3, truth)
    category = np.stack([cut, (cut + 1) % 4, cut])
    joined = without_cuts(points, category, np.tile(np.arange(4), (3, 1)))
    for agent, one in zip(joined, category, strict=True):
        assert set(zip(truth, agent[one], strict=True)) == set(enumerate(agent[one][::1500]))
    assert joined.max() == 2
    # Two groups stay, also with no valley between them.
    halves = np.stack([(wide[:, 0] > 0).astype(np.int64)] * 2)
    assert without_cuts(wide, halves, np.array([[0, 1], [0, 1]])).max() == 1
    # Of small data, no two groups may have samples enough for a density.
    few = np.stack([np.repeat([0, 1, 2], 5)] * 2)
    assert without_cuts(wide[:15], few, np.array([[0, 1, 2]] * 2)).max() == 2


def test_agents_agree_on_the_samples_of_matched_groups() -> None:
    same, moved = np.diag([50, 30, 20]), np.diag([50, 30, 20])[:, [2, 0, 1]]
    differ = np.array([[40, 10, 0], [0, 30, 0], [0, 0, 20]])
    joint = np.stack([np.stack([same, moved, differ])] * 3)
    joint[1, 2] = same
    assert agreement(joint) == pytest.approx((1 + 0.9 + 1) / 3)
    assert agreement(joint[:1, :1]) == 1


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


def test_the_number_of_most_shared_information_is_taken_and_of_equal_ones_the_smallest() -> None:
    four, three = np.diag([25] * 4), np.diag([34, 33, 33])  # 1.39 and 1.10 nats
    assert most_agreed({4: everyone(four), 3: everyone(three)}) == 4
    # One agent cuts all its own way: 0 nats shared with it, 1.39 unshared, so 1.39/3 - 2/3 1.39.
    other = np.array(everyone(four))
    other[0, 2] = other[1, 2] = np.full((4, 4), 6)
    assert most_agreed({4: other, 3: everyone(three)}) == 3
    empty = np.zeros((5, 5), dtype=int)
    empty[:4, :4] = four
    assert most_agreed({5: everyone(empty), 4: everyone(four)}) == 4


def test_an_agent_that_takes_two_types_for_one_is_outvoted(points: np.ndarray) -> None:
    blind = [-0.5, 0.5, 7.5, 50.0, 99.0]
    probs = assigned(points, [*CUTS, blind])
    assert separate_groups(merging_path(points, probs), 0.5) == 3
    # Two agents have to agree.
    assert separate_groups(merging_path(points, probs[2:]), 0.5) == 2
