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
    assert count_populated([7] * 120) == 120


@pytest.mark.parametrize("num_categories", [2, 10, 120])
def test_sharp_posteriors_over_all_categories_are_healthy_and_flat_ones_not(
    num_categories: int,
) -> None:
    assert diagnose_collapse(0.1, num_categories, num_categories) is None
    entropy = 0.95 * math.log(num_categories)
    reason = diagnose_collapse(entropy, num_categories, num_categories)
    assert reason is not None
    assert "nearly flat" in reason
    assert "populated" not in reason


def test_half_of_the_categories_are_enough() -> None:
    assert diagnose_collapse(0.1, 5, 10) is None
    assert diagnose_collapse(0.1, 1, 2) is not None
    reason = diagnose_collapse(0.1, 4, 10)
    assert reason is not None
    assert "only 4 of 10 categories" in reason


def test_a_falling_reconstruction_beside_flat_categories_blames_the_state() -> None:
    falling, rising = (
        diagnose_collapse(2.3, 10, 10, reconstruction=moved)
        for moved in ((200.0, 90.0), (90.0, 200.0))
    )
    assert falling is not None
    assert "200.0 to 90.0 nats" in falling
    assert "the state carries all" in falling
    assert rising is not None
    assert "improves" not in rising


WEIGHTS = {"kl": 0.1, "coupling": 0.5}
TERMS = {"reconstruction": 300.0, "kl": 8.0, "coupling": 40.0}
CAPPED = 1 / (1 + 119 * math.exp(-2))
FEW = {"populated": 11}
# Settings, terms of the objective, and the words that name the likely cause and its numbers.
CAUSES = [
    (Balance(0.5, CAPPED, WEIGHTS), TERMS, {}, ["tau too large: at 0.5", "1/K = 0.0083"]),
    *(
        (
            Balance(1.0, None, WEIGHTS),
            TERMS | {"coupling": 2000.0},
            few,
            ["lower model.coupling_weight", "0.5 times the coupling 1e+03", "reconstruction 300"],
        )
        for few in ({}, FEW)
    ),
    (
        Balance(1.0, None, WEIGHTS),
        TERMS,
        {},
        ["the states carry all: their KL is 8 nats", "beta 0.1 times the state's KL 0.8 nats"],
    ),
    (Balance(0.1, None, WEIGHTS), TERMS, FEW, ["tau too small: with one softmax, 0.1"]),
    (
        Balance(1.0, None, WEIGHTS | {"information": 0.0}),
        TERMS | {"kl": 1.0},
        FEW,
        ["model.information_weight"],
    ),
    (Balance(1.0, None, WEIGHTS), {}, {}, ["(tau 1)"]),
]


def diagnose(balance: Balance, terms: dict[str, float], populated: int = 120) -> str:
    reason = diagnose_collapse(4.7, populated, 120, (400.0, 300.0), balance, terms)
    assert reason is not None
    return reason


@pytest.mark.parametrize(("balance", "terms", "few", "words"), CAUSES)
def test_the_likely_cause_is_named_with_its_numbers(
    balance: Balance, terms: dict[str, float], few: dict[str, int], words: list[str]
) -> None:
    reason = diagnose(balance, terms, **few)
    assert all(word in reason for word in words), reason


def test_causes_that_the_numbers_rule_out_are_not_named() -> None:
    assert "states carry all: their" not in diagnose(
        Balance(1.0, None, WEIGHTS), TERMS | {"kl": 1.0}
    )
    # Two softmaxes need a small tau: at 1/K they are not capped.
    assert "tau too small" not in diagnose(Balance(1 / 120, 1.0, WEIGHTS), TERMS)
