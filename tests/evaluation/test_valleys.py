"""Valleys between two categories: their depth, and when chance makes them."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.evaluation.valleys import SIGNIFICANT, _density, significance, valley


def test_a_cut_through_a_gaussian_has_no_valley_and_two_apart_have_a_deep_one() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(2000, 20))
    left = points[:, 0] < 0
    assert valley(points[left], points[~left]) > 0.9
    points[left, 0] -= 3  # the densities fall to about exp(-1.5²/2) beside a gap of 3
    assert valley(points[left], points[~left]) < 0.1


def test_two_gaussians_have_the_valley_of_their_densities() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 20_000, 3))
    second[:, 1] += 4
    # Between the peaks, 4 deviations apart: 2 exp(-2) over 1 + exp(-8); kernels smooth a little.
    expected = 2 * np.exp(-2) / (1 + np.exp(-8))
    assert valley(first, second) == pytest.approx(expected, abs=0.03)
    assert valley(first, second) == pytest.approx(valley(second, first), abs=1e-9)


def test_it_does_not_depend_on_the_sizes_of_the_categories() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 20_000, 3))
    second[:, 1] += 4
    assert valley(first, second[:2000]) == pytest.approx(valley(first, second), abs=0.05)


def test_cuts_through_gaussians_are_seldom_significant_and_gaps_always_are() -> None:
    random = np.random.default_rng(0)
    cuts, gaps = [], []
    for _ in range(100):
        points = random.normal(size=(600, 5))
        left = points[:, 0] < -0.5  # two fifths of the samples on one side
        cuts.append(significance(points[left], points[~left]))
        points[left, 0] -= 1.5
        gaps.append(significance(points[left], points[~left]))
    assert np.mean(np.array(cuts) > SIGNIFICANT) <= 0.05
    assert min(gaps) > SIGNIFICANT
    same = random.normal(size=(50, 3))
    assert significance(same, same) == 0


def test_the_variance_of_the_density_is_that_of_repeated_samples() -> None:
    random = np.random.default_rng(0)
    places = np.array([-1.0, 0.0, 1.5])
    density, variance = zip(
        *(_density(random.normal(size=400), places) for _ in range(1000)), strict=True
    )
    np.testing.assert_allclose(np.mean(variance, axis=0), np.var(density, axis=0), rtol=0.15)
