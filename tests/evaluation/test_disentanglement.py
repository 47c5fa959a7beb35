"""Representations whose score is known: perfect, rotated, random, and a category among them."""

import numpy as np
import pytest

from mixvae.evaluation.disentanglement import (
    dci,
    disentanglement_and_completeness,
    factor_vae_score,
    mutual_information_gap,
)

SIZES = (3, 4, 5)


@pytest.fixture(scope="module")
def factors() -> np.ndarray:
    """Every combination of three factors, 20 times."""
    return np.tile(np.indices(SIZES).reshape(3, -1).T, (20, 1))


def perfect(factors: np.ndarray) -> np.ndarray:
    """One code for each factor, of its own scale and order."""
    return factors[:, [2, 0, 1]] * np.array([1.0, -5.0, 0.1])


def rotated(factors: np.ndarray) -> np.ndarray:
    """Every code a mixture of all factors in equal parts of their spread."""
    standard = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    mixing = np.array([[1, 1, 1], [1, -1, 1], [1, 1, -1]])
    return standard @ mixing


def test_a_perfect_representation_has_full_scores(factors):
    codes = perfect(factors)
    assert factor_vae_score(codes, factors) == 1
    assert mutual_information_gap(codes, factors) == pytest.approx(1, abs=0.02)
    assert dci(codes, factors) == pytest.approx((1, 1, 1))


def test_superfluous_codes_of_noise_or_of_one_value_do_not_matter(factors):
    noise = np.random.default_rng(0).standard_normal((len(factors), 1))
    codes = np.hstack([noise, np.ones((len(factors), 1)), perfect(factors)])
    assert factor_vae_score(codes, factors) == 1
    assert mutual_information_gap(codes, factors) > 0.9
    scores = dci(codes, factors)
    assert min(scores) > 0.98


def test_a_rotated_representation_tells_all_and_separates_nothing(factors):
    codes = rotated(factors)
    assert factor_vae_score(codes, factors) < 0.8
    assert mutual_information_gap(codes, factors) < 0.1
    scores = dci(codes, factors)
    assert scores.informativeness > 0.8
    assert max(scores[:2]) < 0.5


def test_two_codes_of_one_factor_are_disentangled_and_not_complete(factors):
    codes = np.hstack([perfect(factors), factors[:, :1] + 0.0])
    codes[:, 3] += 0.3 * np.random.default_rng(0).standard_normal(len(factors))
    assert mutual_information_gap(codes, factors) < 0.8
    importance = np.array([[1, 0], [1, 0], [0, 2]])
    disentanglement, completeness = disentanglement_and_completeness(importance)
    assert disentanglement == pytest.approx(1)
    # the first factor spreads over 2 of 3 codes, the second does not
    assert completeness == pytest.approx(((1 - np.log(2) / np.log(3)) + 1) / 2)


def test_a_random_representation_scores_by_chance(factors):
    codes = np.random.default_rng(0).standard_normal((len(factors), 6))
    assert factor_vae_score(codes, factors) == pytest.approx(1 / 3, abs=0.1)
    assert mutual_information_gap(codes, factors) < 0.02
    scores = dci(codes, factors)
    assert scores.disentanglement < 0.2
    assert scores.informativeness == pytest.approx(np.mean(1 / np.array(SIZES)), abs=0.08)


def test_a_category_is_a_code_whatever_its_numbers(factors):
    states, category = perfect(factors)[:, [0, 2]], factors[:, 0]
    without = factor_vae_score(states, factors)
    for numbers in (np.array([0, 1, 2]), np.array([7, 0, 3])):
        named = numbers[category]
        assert factor_vae_score(states, factors, named) == 1
        assert mutual_information_gap(states, factors, named) == pytest.approx(1, abs=0.02)
        assert dci(states, factors, named) == pytest.approx((1, 1, 1))
    assert without < 0.8


def test_a_category_alone_tells_one_factor(factors):
    none = np.zeros((len(factors), 0))
    assert mutual_information_gap(none, factors, factors[:, 0]) == pytest.approx(1 / 3)
    # the one code gets every vote, so one factor is named always
    assert factor_vae_score(none, factors, factors[:, 0]) == pytest.approx(1 / 3, abs=0.1)


def test_codes_that_do_not_vary_score_by_chance(factors):
    codes = np.ones((len(factors), 4))
    assert factor_vae_score(codes, factors) == pytest.approx(1 / 3)
    assert mutual_information_gap(codes, factors) == 0
    assert dci(codes, factors)[:2] == (0, 0)


def test_scores_do_not_depend_on_order_scale_and_sign_of_the_codes(factors):
    noise = np.random.default_rng(0).standard_normal((len(factors), 3))
    codes = perfect(factors) / perfect(factors).std(axis=0) + 0.7 * noise
    other = codes[:, [1, 2, 0]] * np.array([-3.0, 0.2, 50.0])
    assert factor_vae_score(other, factors) == factor_vae_score(codes, factors)
    same = mutual_information_gap(codes, factors)
    assert mutual_information_gap(other, factors) == pytest.approx(same, abs=0.01)


def test_a_factor_of_one_value_is_left_out(factors):
    more = np.hstack([factors, np.full((len(factors), 1), 4)])
    codes = rotated(factors)
    assert factor_vae_score(codes, more) == factor_vae_score(codes, factors)
    assert mutual_information_gap(codes, more) == mutual_information_gap(codes, factors)
    assert dci(codes, more) == dci(codes, factors)


def test_the_gap_is_the_literal_formula(factors):
    random = np.random.default_rng(1)
    category, factor = random.integers(0, 3, 500), random.integers(0, 4, (500, 1))
    category[factor[:, 0] == 0] = 0
    joint = np.zeros((3, 4))
    for i, j in zip(category, factor[:, 0], strict=True):
        joint[i, j] += 1 / 500
    a, b = joint.sum(1), joint.sum(0)
    cells = [(i, j) for i in range(3) for j in range(4) if joint[i, j]]
    information = sum(joint[i, j] * np.log(joint[i, j] / a[i] / b[j]) for i, j in cells)
    expected = information / -(b * np.log(b)).sum()
    assert mutual_information_gap(np.zeros((500, 1)), factor, category) == pytest.approx(expected)
