"""Measures of recovery on made-up results whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from experiments import cells_recovery


def test_types_are_matched_with_the_category_that_holds_most_of_them() -> None:
    type_ = np.array([0, 0, 0, 1, 1, 2])
    category = np.array([4, 4, 1, 1, 1, 1])
    np.testing.assert_array_equal(cells_recovery.match_types(type_, category, 4), [4, 1, 1, -1])


def test_states_count_within_the_matched_category_whatever_their_sign_and_order() -> None:
    random = np.random.default_rng(0)
    type_ = np.repeat([0, 1], 50)
    true = random.normal(size=100)
    state = np.stack([random.normal(size=100), -3 * true + 1], axis=1)
    state[type_ == 1] = 2.0  # never varies
    category = type_.copy()
    category[:5], state[:5] = 1, 50.0  # cells that the agent puts elsewhere do not count
    found = cells_recovery.state_correlations(type_, category, true, state, 3)
    np.testing.assert_allclose(found, [1.0, 0.0, 0.0])


def test_precision_is_the_share_of_programme_genes_among_the_first() -> None:
    ranked = {0: ["a", "b"], 1: ["c", "d"]}
    assert cells_recovery.precision(ranked, {0: {"a", "b"}, 1: {"c"}}) == pytest.approx(0.75)
    assert cells_recovery.precision(ranked, {7: {"a"}}) == 0


def test_ranking_is_read_by_category_and_state(tmp_path) -> None:
    path = tmp_path / "state_genes.csv"
    path.write_text("category,state,rank,gene\n3,0,1,a\n3,0,2,b\n3,0,21,z\n3,1,1,c\n5,0,1,d\n")
    assert cells_recovery.read_ranking(path) == {3: ["a", "b"], 5: ["d"]}
