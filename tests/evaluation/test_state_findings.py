"""States that are no findings, on values of known shape."""

import numpy as np
import pytest

from mixvae.evaluation.state_findings import (
    decoded_positions,
    effective_number,
    gain_score,
    is_bimodal,
    judge_state,
)

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=600)


def test_the_effective_number() -> None:
    assert effective_number(NORMAL) == pytest.approx(200, rel=0.15)
    assert effective_number(np.r_[np.zeros(998), 50, -50]) == pytest.approx(2, rel=0.01)
    assert effective_number(np.ones(5)) == 0


@pytest.mark.parametrize(
    "values",
    [
        NORMAL,
        RANDOM.uniform(size=600),
        np.linspace(0, 1, 150),
        np.sin(np.linspace(-1.5, 1.5, 600)),
        RANDOM.exponential(size=600),
        RANDOM.standard_t(3, size=600),
        RANDOM.normal(size=30),
        np.ones(100),
        np.r_[NORMAL, 12 + 0.1 * RANDOM.normal(size=4)],  # a handful is no type
    ],
)
def test_one_group_is_not_two(values: np.ndarray) -> None:
    assert not is_bimodal(values)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_two_groups_are_found_whatever_their_place_and_scale(share: float) -> None:
    values = np.r_[RANDOM.normal(size=round(600 * share)), 5 + RANDOM.normal(size=600)]
    assert is_bimodal(values)
    assert is_bimodal(1e-3 * values + 7)


def test_the_gain_is_that_of_squared_errors() -> None:
    x = RANDOM.normal(size=(100, 3))
    noise = RANDOM.normal(size=x.shape)
    assert gain_score(x, np.zeros_like(x), x) > 5
    assert gain_score(np.zeros_like(x), np.zeros_like(x), x) == 0
    assert abs(gain_score(0.01 * noise, np.zeros_like(x), x)) < 3
    gain = (x**2 - (x - noise) ** 2).sum(1)
    expected = gain.mean() / (gain.std() / 10)
    assert gain_score(noise, np.zeros_like(x), x) == pytest.approx(expected)


def test_a_judgement_names_the_first_that_holds() -> None:
    two = np.r_[NORMAL, 8 + NORMAL]
    few = np.r_[0.01 * NORMAL, 30, 31, 32]
    assert [judge_state(v, 9.0) for v in (NORMAL, two, few)] == ["", "bimodal", "few"]
    assert [judge_state(v, 2.9) for v in (NORMAL, two, few)] == ["dead", "dead", "few"]
    assert judge_state(few, 0.9) == "dead"
    assert judge_state(two, None) == "bimodal"


def test_a_gradient_is_one_group_where_a_saturated_encoder_crowds_its_ends() -> None:
    gradient = RANDOM.uniform(-1.7, 1.7, size=600)
    values = np.tanh(gradient)
    grid = np.linspace(values.min(), values.max(), 65)
    decoded = np.outer(np.arctanh(grid), [3.0, 4.0])
    positions = decoded_positions(values, grid, decoded)
    np.testing.assert_allclose(positions, 5 * (gradient - gradient.min()), atol=0.05)
    assert judge_state(values, 9.0) == "bimodal"
    assert judge_state(values, 9.0, positions=positions) == ""
