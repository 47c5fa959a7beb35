"""A linear decoder's programme genes are found exactly, by every agent."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mixvae.evaluation.traversal import (
    StateTraversal,
    overlap_at,
    top_share,
    traverse_states,
)

A, N, K, S, D = 3, 400, 4, 2, 60


class Linear:
    """Agents that decode offset_k + sum_s state_s * effect_ks, each with its own sign and order."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.offset = rng.normal(size=(K, D))
        self.effect = np.zeros((K, S, D))
        self.programme = [[rng.choice(D, 6, replace=False) for _ in range(S)] for _ in range(K)]
        for k in range(K):
            for s in range(S):
                size = rng.uniform(0.5, 2.0, size=6) * rng.choice([-1, 1], size=6)
                self.effect[k, s, self.programme[k][s]] = size
        self.order = [rng.permutation(S) for _ in range(A)]
        self.sign = rng.choice([-1.0, 1.0], size=(A, S))
        self.category = np.tile(rng.integers(K, size=N), (A, 1))
        state = rng.normal(loc=1.0, size=(N, S))
        self.state = np.stack([state[:, o] * g for o, g in zip(self.order, self.sign, strict=True)])
        self.state = self.state.astype(np.float32)

    def decode(
        self, category: NDArray[np.float32], state: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Decode with each agent."""
        out = []
        for a in range(A):
            true = np.empty(state[a].shape)
            true[:, self.order[a]] = state[a] * self.sign[a]
            effect = np.einsum("bk,ksd->bsd", category[a], self.effect)
            out.append(category[a] @ self.offset + np.einsum("bs,bsd->bd", true, effect))
        return np.stack(out).astype(np.float32)

    def traverse(self, **options) -> StateTraversal:
        return traverse_states(self.decode, self.category, self.state, range(K), K, **options)


def test_the_change_of_a_linear_decoder_is_its_effect_times_the_range() -> None:
    linear = Linear()
    result = linear.traverse()
    assert result.change.shape == (A, K, S, D)
    for a in range(A):
        for k in range(K):
            states = linear.state[a, linear.category[a] == k]
            low, high = np.percentile(states, [5, 95], axis=0)
            np.testing.assert_allclose(result.low[a, k], low, rtol=1e-6)
            np.testing.assert_allclose(result.high[a, k], high, rtol=1e-6)
            effect = linear.effect[k][linear.order[a]] * linear.sign[a][:, None]
            wanted = effect * (high - low)[:, None]
            np.testing.assert_allclose(result.change[a, k], wanted, atol=2e-5)


def test_a_feature_that_turns_back_counts_by_how_far_it_went() -> None:
    def decode(category, state):
        return np.concatenate([state**2, -(state**3), np.ones_like(state)], axis=-1)

    state = np.linspace(-1, 1, 101, dtype=np.float32)[None, :, None]
    category = np.zeros((1, 101), dtype=np.int64)
    ends = (0.0, 100.0)
    result = traverse_states(decode, category, state, [0], 2, num_steps=5, percentiles=ends)
    np.testing.assert_allclose(result.change[0, 0, 0], [1, -2, 0], atol=1e-6)


def test_the_other_dimensions_stay_at_the_mean_of_the_category() -> None:
    seen = []

    def decode(category, state):
        seen.append((category, state))
        return state

    rng = np.random.default_rng(0)
    category = rng.integers(2, size=(1, 100))
    state = rng.normal(size=(1, 100, 3)).astype(np.float32)
    traverse_states(decode, category, state, [1], 5, num_steps=3)
    ((one_hot, states),) = seen
    np.testing.assert_array_equal(one_hot, np.broadcast_to(np.eye(5)[1], (1, 9, 5)))
    mean = state[0, category[0] == 1].mean(axis=0)
    for s in range(3):
        others = [i for i in range(3) if i != s]
        walk = states[0, 3 * s : 3 * s + 3]
        np.testing.assert_allclose(walk[:, others], np.tile(mean[others], (3, 1)), rtol=1e-5)
        assert (np.diff(walk[:, s]) > 0).all()


def test_agents_agree_on_the_genes_though_their_states_have_other_names_and_signs() -> None:
    linear = Linear()
    result = linear.traverse()
    np.testing.assert_array_equal(overlap_at(result, 12), np.ones(K))
    share = top_share(result, 12)
    for k in range(K):
        genes = set(np.concatenate(linear.programme[k]).tolist())
        assert set(np.flatnonzero(share[k] == 1).tolist()) >= genes
    assert share.min() >= 0
    assert share.max() <= 1


def test_overlap_equals_the_literal_loop() -> None:
    rng = np.random.default_rng(3)
    change = rng.normal(size=(A, K, S, D)).astype(np.float32)
    known = np.ones((A, K), dtype=bool)
    known[2, 1] = False
    zeros = np.zeros((A, K, S))
    traversal = StateTraversal(np.arange(K), known * 20, zeros, zeros, change, known)
    for agent in range(A):
        for k in range(K):
            tops = [
                set(np.argsort(-np.linalg.norm(change[a, k], axis=0))[:7].tolist())
                for a in range(A)
            ]
            others = [a for a in range(A) if a != agent and known[a, k]]
            wanted = np.mean([len(tops[agent] & tops[a]) / 7 for a in others])
            assert overlap_at(traversal, 7, agent)[k] == pytest.approx(wanted)


def test_one_agent_has_nobody_to_agree_with() -> None:
    linear = Linear()
    result = traverse_states(
        lambda c, s: linear.decode(np.tile(c, (A, 1, 1)), np.tile(s, (A, 1, 1)))[:1],
        linear.category[:1],
        linear.state[:1],
        range(K),
        K,
    )
    assert np.isnan(overlap_at(result, 5)).all()


def test_a_category_with_too_few_samples_changes_nothing_and_is_unknown() -> None:
    linear = Linear()
    linear.category[0, linear.category[0] == 2] = 3
    result = linear.traverse()
    assert not result.known[0, 2]
    assert result.known[1:, 2].all()
    assert (result.change[0, 2] == 0).all()
    assert result.num_samples[0, 2] == 0
    np.testing.assert_array_equal(overlap_at(result, 12)[[0, 1]], [1, 1])


def test_no_categories_give_an_empty_traversal() -> None:
    linear = Linear()
    result = traverse_states(linear.decode, linear.category, linear.state, [], K)
    assert result.change.shape == (A, 0, S, 0)
    assert overlap_at(result, 5).shape == (0,)
