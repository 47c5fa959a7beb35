"""When the categories count as collapsed, and what is said."""

from __future__ import annotations

import math

import pytest

from mixvae.evaluation.health import count_populated, diagnose_collapse


def test_a_stray_sample_populates_a_category_only_among_few() -> None:
    assert count_populated([9_999, 1, 0, 0]) == 1
    assert count_populated([30, 1, 0, 0]) == 2
    assert count_populated([0, 0, 0]) == 0


def test_an_even_split_populates_all() -> None:
    assert count_populated([7] * 120) == 120


@pytest.mark.parametrize("num_categories", [2, 10, 120])
def test_a_sharp_posterior_over_all_categories_is_healthy(num_categories: int) -> None:
    assert diagnose_collapse(0.1, num_categories, num_categories) is None


@pytest.mark.parametrize("num_categories", [2, 10, 120])
def test_a_flat_posterior_is_named_with_its_cause(num_categories: int) -> None:
    entropy = 0.95 * math.log(num_categories)
    reason = diagnose_collapse(entropy, num_categories, num_categories)
    assert reason is not None
    assert "nearly flat" in reason
    assert "tau too large" in reason
    assert "populated" not in reason


def test_few_categories_are_named_with_their_number() -> None:
    assert diagnose_collapse(0.1, 5, 10) is None
    assert diagnose_collapse(0.1, 1, 2) is not None
    reason = diagnose_collapse(0.1, 4, 10)
    assert reason is not None
    assert "only 4 of 10 categories" in reason
    assert "coupling" in reason


def test_a_falling_reconstruction_beside_flat_categories_blames_the_state() -> None:
    reason = diagnose_collapse(2.3, 10, 10, reconstruction=(200.0, 90.0))
    assert reason is not None
    assert "200.0 to 90.0 nats" in reason
    assert "the state carries all" in reason
    rising = diagnose_collapse(2.3, 10, 10, reconstruction=(90.0, 200.0))
    assert rising is not None
    assert "nats)" in rising
    assert "improves" not in rising
