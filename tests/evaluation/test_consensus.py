"""Consensus against literal loops and worked examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixvae.evaluation.consensus import (
    category_consensus,
    consensus_matrix,
    mean_consensus_matrix,
    vote,
)


def test_matrix_equals_a_literal_loop() -> None:
    joint = np.random.default_rng(0).integers(20, size=(4, 4))
    expected = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            expected[i, j] = joint[i, j] / max(joint[i].sum(), joint[:, j].sum())
    np.testing.assert_allclose(consensus_matrix(joint), expected)
    np.testing.assert_allclose(consensus_matrix(joint.T), expected.T)


def test_agreement_is_one_and_empty_categories_are_zero() -> None:
    np.testing.assert_array_equal(consensus_matrix(np.diag([3, 0, 7])), np.diag([1.0, 0.0, 1.0]))


def test_mean_over_pairs_counts_each_pair_once() -> None:
    rng = np.random.default_rng(0)
    category = rng.integers(3, size=(4, 50))
    joint = np.zeros((4, 4, 3, 3), dtype=np.int64)
    for a in range(4):
        for b in range(4):
            np.add.at(joint[a, b], (category[a], category[b]), 1)
    pairs = [consensus_matrix(joint[a, b]) for a in range(4) for b in range(a + 1, 4)]
    np.testing.assert_allclose(mean_consensus_matrix(joint), np.mean(pairs, axis=0))
    np.testing.assert_allclose(category_consensus(joint), np.mean(pairs, axis=0).diagonal())


def test_vote_takes_the_geometric_mean_and_survives_zeros() -> None:
    # Arithmetic means .50 .45 .05 would elect category 0, which agent 1 rules out.
    first = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.6, 0.3, 0.1]])
    second = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.8, 0.2], [0.2, 0.7, 0.1]])
    assert vote(torch.stack([first, second])).tolist() == [0, 1, 1]
    assert vote(torch.stack([second, first])).tolist() == [0, 1, 1]


def test_one_agent_of_many_cannot_lower_the_majoritys_consensus() -> None:
    category = np.tile(np.arange(4).repeat(5), (6, 1))
    category[0, category[0] == 3] = 2  # takes the last two for one
    one_hot = np.eye(4)[category]
    joint = np.einsum("ank,bnl->abkl", one_hot, one_hot)
    mean, majority = category_consensus(joint), category_consensus(joint, 0.75)
    assert mean[3] == pytest.approx(10 / 15)
    np.testing.assert_allclose(majority, 1.0)
    np.testing.assert_allclose(category_consensus(joint[:2, :2], 0.75), [1, 1, 0.5, 0])
