"""The probe of the private part: least squares on held-out samples, by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.evaluation.latents import LatentTable
from mixvae.evaluation.representation import explained, measure_private


def points(seed: int, num: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    latent = random.normal(size=(num, 2))
    noise = random.normal(size=(num, 3))
    return latent, latent @ [[1.0, 2.0, 0.0], [0.0, -1.0, 0.0]] + 0.5 * noise + 4.0


def test_it_is_r_squared_of_least_squares_with_an_intercept():
    train, test = points(0), points(1)
    expected = []
    for column in range(3):
        # the normal equations, a target at a time
        design = np.column_stack([np.ones(2000), train[0]])
        weights = np.linalg.solve(design.T @ design, design.T @ train[1][:, column])
        truth = test[1][:, column]
        missed = truth - np.column_stack([np.ones(2000), test[0]]) @ weights
        expected.append(1 - (missed**2).sum() / ((truth - truth.mean()) ** 2).sum())
    assert explained(train, test) == pytest.approx(np.mean(expected), rel=1e-9)
    assert expected[0] == pytest.approx(1 / 1.25, abs=0.1)
    assert expected[2] == pytest.approx(0, abs=0.05)


def test_all_is_explained_or_nothing():
    latent = points(0)[0]
    linear = latent, latent @ [[1.0], [3.0]] - 2
    assert explained(linear, (linear[0][:9], linear[1][:9])) == pytest.approx(1)
    target = points(1)[1]
    collapsed = np.full((2000, 2), 0.3, dtype=np.float32)
    assert explained((collapsed, target), (collapsed, target)) == pytest.approx(0)


def table(rows: np.ndarray, mean: np.ndarray) -> LatentTable:
    count = len(rows)
    unknown = np.full(count, -1)
    return LatentTable(np.arange(count), unknown, rows, mean, np.zeros_like(mean))


def test_each_modality_is_probed_for_its_own_part_each_sample_once():
    random = np.random.default_rng(2)
    truth = [{"phase": random.normal(size=(300, 2))}, {"gain": random.normal(size=(300, 1))}]
    # the first modality's samples each in two events; the second's latent is noise
    first = np.repeat(random.permutation(300)[:150], 2)
    rows = np.stack([first, random.permutation(300)], axis=1)
    mean = np.stack([truth[0]["phase"][first], random.normal(size=(300, 2))]).astype(np.float32)
    train, test = table(rows[:200], mean[:, :200]), table(rows[200:], mean[:, 200:])
    values = measure_private(train, test, truth, ["a", "b"])
    assert values["private_phase_r2/a"] == values["private_r2/a"] == pytest.approx(1, abs=1e-5)
    assert values["private_gain_r2/b"] == pytest.approx(0, abs=0.1)
    assert values["private_phase_r2"] == values["private_phase_r2/a"]
    assert values["private_r2"] == pytest.approx(
        (values["private_r2/a"] + values["private_r2/b"]) / 2
    )
    assert measure_private(train, test, [{}, {}], ["a", "b"]) == {}
