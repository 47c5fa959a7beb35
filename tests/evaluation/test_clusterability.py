"""Clusterability against scikit-learn, and on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, silhouette_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from mixvae.evaluation.clusterability import (
    clusterability,
    compare_clusterability,
    mixture_latent,
)


def blobs(spread: float, num_groups: int = 4, size: int = 50, seed: int = 0):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), size)
    centre = 10 * np.eye(num_groups, 6)
    return centre[groups] + spread * rng.normal(size=(len(groups), 6)), groups


def test_separated_blobs_are_near_one_and_noise_is_chance() -> None:
    apart = clusterability(*blobs(0.1))
    assert apart["balanced_accuracy"] == 1
    assert apart["silhouette"] > 0.95
    assert apart["num_groups"] == 4
    features, groups = blobs(0.1)
    rng = np.random.default_rng(1)
    chance = clusterability(rng.normal(size=features.shape), groups)
    assert chance["balanced_accuracy"] == pytest.approx(0.25, abs=0.12)
    assert abs(chance["silhouette"]) < 0.05


def test_the_measures_are_those_of_scikit_learn() -> None:
    x, y = blobs(8.0)
    values = clusterability(x, y, seed=3)
    assert values["silhouette"] == pytest.approx(silhouette_score(x, y))
    predicted = np.empty_like(y)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=3).split(x, y):
        scaler = StandardScaler().fit(x[train])
        model = LogisticRegression(max_iter=1000).fit(scaler.transform(x[train]), y[train])
        predicted[test] = model.predict(scaler.transform(x[test]))
    assert 0.3 < values["balanced_accuracy"] < 0.95
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, predicted))


def test_the_silhouette_of_many_samples_looks_at_some_of_them_always_the_same() -> None:
    x, y = blobs(5.0, size=100)
    every = clusterability(x, y)["silhouette"]
    some = clusterability(x, y, max_silhouette=200)["silhouette"]
    assert some == clusterability(x, y, max_silhouette=200)["silhouette"]
    assert some != every
    assert some == pytest.approx(every, abs=0.05)


def test_small_and_unknown_groups_are_left_out() -> None:
    x, y = blobs(0.1)
    y[:4] = 99
    y[4:10] = -1
    values = clusterability(x, y)
    assert (values["num_groups"], values["num_left_out"]) == (4, 1)
    assert values["balanced_accuracy"] == 1
    alone = clusterability(x, np.zeros_like(y))
    assert alone == {"num_groups": 1, "num_left_out": 0}


def test_the_latent_is_compared_with_as_many_principal_components() -> None:
    rng = np.random.default_rng(0)
    _, groups = blobs(0.1)
    # The groups differ where there is little variance: the latent sees it, components do not.
    samples = rng.normal(size=(200, 30)) * np.linspace(20, 15, 30)
    samples[:, -1] = groups
    latent = np.stack([groups, rng.normal(size=200)], axis=1)
    labels = np.where(np.arange(200) % 7 == 0, -1, groups)
    values = compare_clusterability(latent, samples, {"category": groups, "label": labels})
    assert values["pca/num_components"] == 2
    assert values["latent/label/balanced_accuracy"] > 0.95
    assert values["pca/label/balanced_accuracy"] < 0.5
    components = PCA(2, random_state=0).fit_transform(samples)
    assert values["pca/category/silhouette"] == pytest.approx(silhouette_score(components, groups))
    measures = {name.split("/", 1)[1] for name in values if name.startswith("latent/")}
    wanted = ("silhouette", "balanced_accuracy", "num_groups", "num_left_out")
    assert measures == {f"{group}/{m}" for group in ("category", "label") for m in wanted}


def test_no_more_components_than_the_data_have() -> None:
    x, y = blobs(1.0)
    values = compare_clusterability(np.zeros((200, 40)), x, {"category": y})
    assert values["pca/num_components"] == 6
    assert values["latent/category/balanced_accuracy"] == pytest.approx(0.25)


@pytest.mark.parametrize("number", [1, 9])
def test_one_sample_or_equal_ones_are_measured_without_a_warning(number: int) -> None:
    y = np.zeros(number, dtype=np.int64)
    values = compare_clusterability(np.zeros((number, 3)), np.ones((number, 5)), {"category": y})
    assert values["pca/category/num_groups"] <= 1


def test_the_latent_is_the_mean_of_the_probabilities_and_one_agents_state() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4), size=(3, 7)).astype(np.float32)
    state = rng.normal(size=(3, 7, 2)).astype(np.float32)
    latent = mixture_latent(probs, state, agent=1)
    assert latent.shape == (7, 6)
    np.testing.assert_allclose(latent[:, :4].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(latent[:, 4:], state[1])
