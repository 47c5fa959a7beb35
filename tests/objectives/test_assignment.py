"""Matching and alignment against brute force over permutations."""

from itertools import permutations, product

import numpy as np
import pytest
import torch

from mixvae.objectives.assignment import (
    align_agents,
    assign_balanced,
    joint_counts,
    match_categories,
)


def agreed(counts: np.ndarray, columns: np.ndarray) -> float:
    return float(counts[np.arange(len(counts)), columns].sum())


@pytest.mark.parametrize("num_categories", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("whole", [True, False])
def test_matching_equals_brute_force(num_categories: int, whole: bool) -> None:
    rng = np.random.default_rng(num_categories)
    for _ in range(20):
        counts = rng.integers(0, 9, (num_categories, num_categories)).astype(float)
        if not whole:
            counts = rng.random(counts.shape)
        columns = match_categories(counts)
        assert sorted(columns) == list(range(num_categories))
        best = max(agreed(counts, np.array(p)) for p in permutations(range(num_categories)))
        assert agreed(counts, columns) == pytest.approx(best, abs=1e-12)


def test_matching_leaves_equals_in_place() -> None:
    assert match_categories(np.zeros((6, 6))).tolist() == [0, 1, 2, 3, 4, 5]
    # Categories 1 and 3 are empty for both; 0 and 2 are swapped.
    counts = np.zeros((4, 4), dtype=np.int64)
    counts[0, 2], counts[2, 0] = 5, 7
    assert match_categories(counts).tolist() == [2, 1, 0, 3]


def test_of_equal_matchings_the_one_with_most_in_place_is_taken() -> None:
    rng = np.random.default_rng(0)
    every = [np.array(p) for p in permutations(range(4))]
    for _ in range(100):
        counts = rng.integers(0, 3, (4, 4))
        best = max(agreed(counts, p) for p in every)
        in_place = max((p == np.arange(4)).sum() for p in every if agreed(counts, p) == best)
        columns = match_categories(counts)
        assert agreed(counts, columns) == best
        assert (columns == np.arange(4)).sum() == in_place


def test_preferences_never_cost_a_sample() -> None:
    # One sample more for a full rotation than for the identity, at K = 50 and large counts.
    counts = np.full((50, 50), 10_000)
    counts[np.arange(50), (np.arange(50) + 1) % 50] += 1
    counts[np.arange(49), np.arange(49)] += 1
    assert match_categories(counts).tolist() == [(k + 1) % 50 for k in range(50)]


def test_joint_counts_equal_counting() -> None:
    assignment = torch.randint(0, 4, (3, 50), generator=torch.Generator().manual_seed(0))
    joint = joint_counts(assignment, 5)
    assert joint.shape == (3, 3, 5, 5)
    assert joint.dtype == torch.int64
    for a in range(3):
        for b in range(3):
            expected = np.zeros((5, 5), dtype=np.int64)
            for i, j in zip(assignment[a].tolist(), assignment[b].tolist(), strict=True):
                expected[i, j] += 1
            assert np.array_equal(joint[a, b].numpy(), expected)


def noisy_agents(num_agents: int, noise: float, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Agents that know one truth under names of their own, and those names, (A, K)."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, 600)
    names = np.stack([rng.permutation(6) for _ in range(num_agents)])
    assignment = names[:, truth]
    flip = rng.random(assignment.shape) < noise
    assignment[flip] = rng.integers(0, 6, flip.sum())
    return torch.from_numpy(assignment), names


@pytest.mark.parametrize("num_agents", [1, 2, 4])
@pytest.mark.parametrize("reference", [None, 0])
def test_alignment_finds_the_renaming(num_agents: int, reference: int | None) -> None:
    assignment, names = noisy_agents(num_agents, noise=0.2)
    permutation = align_agents(joint_counts(assignment, 6).numpy(), reference)
    assert permutation.shape == (num_agents, 6)
    assert permutation.dtype == np.int64
    kept = [a for a in range(num_agents) if np.array_equal(permutation[a], np.arange(6))]
    assert kept
    assert reference is None or reference in kept
    # The new category k is the old category permutation[k]: of one truth all are the same now.
    renamed = np.stack([np.argsort(permutation[a])[names[a]] for a in range(num_agents)])
    assert (renamed == renamed[kept[0]]).all()


def test_columns_move_as_the_docstring_says() -> None:
    assignment, _ = noisy_agents(3, noise=0.1)
    probs = torch.nn.functional.one_hot(assignment, 6)
    permutation = torch.from_numpy(align_agents(joint_counts(assignment, 6).numpy()))
    moved = torch.stack([probs[a][:, permutation[a]] for a in range(3)]).argmax(-1)
    before = (assignment[0] == assignment[1]).double().mean()
    after = (moved[0] == moved[1]).double().mean()
    assert before < 0.5
    assert after > 0.8
    again = align_agents(joint_counts(moved, 6).numpy())
    assert np.array_equal(again, np.tile(np.arange(6), (3, 1)))


def test_the_medoid_is_the_agent_that_agrees_most() -> None:
    assignment, _ = noisy_agents(4, noise=0.3)
    clean, _ = noisy_agents(4, noise=0.0)
    assignment[2] = clean[2]
    permutation = align_agents(joint_counts(assignment, 6).numpy())
    assert permutation[2].tolist() == list(range(6))
    assert all(permutation[a].tolist() != list(range(6)) for a in (0, 1, 3))


def total_cost(cost: np.ndarray, category: np.ndarray, pair_cost: float) -> float:
    own = cost[np.arange(len(cost)), category].sum()
    pairs = sum((one == other) for i, one in enumerate(category) for other in category[:i])
    return float(own + pair_cost * pairs)


@pytest.mark.parametrize("pair_cost", [0.0, 0.01, 0.3, 1.0, 50.0])
@pytest.mark.parametrize(("batch", "categories"), [(1, 3), (5, 2), (6, 3), (4, 5)])
def test_balanced_assignment_equals_brute_force(
    batch: int, categories: int, pair_cost: float
) -> None:
    rng = np.random.default_rng(batch)
    every = [np.array(one) for one in product(range(categories), repeat=batch)]
    for _ in range(5):
        cost = rng.normal(size=(batch, categories))
        category = assign_balanced(cost, pair_cost)
        best = min(total_cost(cost, one, pair_cost) for one in every)
        assert total_cost(cost, category, pair_cost) == pytest.approx(best, abs=1e-9)


def test_samples_that_are_sure_are_left_out_without_a_difference() -> None:
    # Half of the samples prefer category 0 by far, so those in doubt go to the others.
    rng = np.random.default_rng(0)
    cost = rng.normal(scale=0.01, size=(40, 4))
    cost[:20, 0] -= 100
    category = assign_balanced(cost, 1.0)
    assert (category[:20] == 0).all()
    assert sorted(np.bincount(category[20:], minlength=4).tolist()) == [0, 6, 7, 7]
