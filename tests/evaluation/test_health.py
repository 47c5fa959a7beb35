"""When the categories count as collapsed, and what is said."""

from __future__ import annotations

import math

import pytest

from mixvae.contracts import Balance
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


WEIGHTS = {"kl": 0.1, "coupling": 0.5}
TERMS = {"reconstruction": 300.0, "kl": 8.0, "coupling": 40.0}


def diagnose(balance: Balance, terms: dict[str, float], populated: int = 120) -> str:
    reason = diagnose_collapse(4.7, populated, 120, (400.0, 300.0), balance, terms)
    assert reason is not None
    return reason


def test_a_tau_that_caps_the_probabilities_is_named_with_its_cap() -> None:
    reason = diagnose(Balance(0.5, 1 / (1 + 119 * math.exp(-2)), WEIGHTS), TERMS)
    assert "likely cause: tau too large: at 0.5 no category can have a probability above" in reason
    assert "about 1/K = 0.0083 serves" in reason


def test_a_coupling_beyond_the_reconstruction_is_named_with_both() -> None:
    for populated in (120, 11):
        reason = diagnose(Balance(1.0, None, WEIGHTS), TERMS | {"coupling": 2000.0}, populated)
        assert "the coupling outweighs the reconstruction; lower model.coupling_weight" in reason
        assert "lambda's share 0.5 times the coupling 1e+03 nats, reconstruction 300" in reason


def test_states_that_say_more_than_categories_could_are_named() -> None:
    reason = diagnose(Balance(1.0, None, WEIGHTS), TERMS)
    assert "the states carry all: their KL is 8 nats" in reason
    assert "beta 0.1 times the state's KL 0.8 nats" in reason
    reason = diagnose(Balance(1.0, None, WEIGHTS), TERMS | {"kl": 1.0})
    assert "the states carry all: their" not in reason


def test_a_tau_that_needs_not_be_small_is_named() -> None:
    reason = diagnose(Balance(0.1, None, WEIGHTS), TERMS, populated=11)
    assert "tau too small: with one softmax, 0.1 makes q(c|x) certain" in reason
    # Two softmaxes need it: at 1/K they are not capped.
    assert "tau too small" not in diagnose(Balance(1 / 120, 1.0, WEIGHTS), TERMS)


def test_an_objective_that_asks_for_no_categories_is_named() -> None:
    weights = WEIGHTS | {"information": 0.0}
    reason = diagnose(Balance(1.0, None, weights), TERMS | {"kl": 1.0}, populated=11)
    assert "give model.information_weight a value" in reason


def test_before_the_first_epoch_the_settings_alone_are_named() -> None:
    assert "(tau 1)" in diagnose(Balance(1.0, None, WEIGHTS), {})
