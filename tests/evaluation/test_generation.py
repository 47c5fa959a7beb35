"""Generation is measured as closed forms and literal counts say."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from mixvae.evaluation import trunk_classifier
from mixvae.evaluation.generation import (
    Drawn,
    agreement,
    frechet_distance,
    measure_frechet,
    measure_subsets,
    score_classes,
    some_subsets,
    targets_of,
)
from mixvae.evaluation.latent_mixture import LatentMixture, fit_latent_mixture
from mixvae.evaluation.probe import Labelled, fit_logistic, fit_mlp
from mixvae.evaluation.tags import score_tags
from mixvae.evaluation.trunk_classifier import fit_trunk

RANDOM = np.random.default_rng(0)


def test_the_frechet_distance_is_that_of_gaussians() -> None:
    """Of commuting covariances: |shift|^2 + sum (sqrt a - sqrt b)^2, and 0 of a set to itself."""
    basis = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]
    first, second = np.array([4.0, 1.0, 0.25]), np.array([1.0, 9.0, 0.25])
    noise = RANDOM.normal(size=(200_000, 3))
    a = noise * np.sqrt(first) @ basis.T
    b = noise[::-1] * np.sqrt(second) @ basis.T + [1.0, 0.0, 2.0]
    exact = 5 + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(exact, rel=0.01)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    one = RANDOM.normal(size=(1000, 1))
    assert frechet_distance(one, 3 * one + 1) == pytest.approx(
        (2 * one.mean() + 1) ** 2 + 4 * one.var(ddof=1)
    )


@pytest.mark.parametrize("samples", [6, 40])
def test_the_frechet_distance_is_its_literal_formula(samples: int) -> None:
    """With fewer samples than features and with more."""
    a, b = RANDOM.normal(size=(samples, 10)), 2 * RANDOM.normal(size=(30, 10)) + 1
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    both = np.trace(sqrtm(first @ second)).real
    shift = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    literal = shift + np.trace(first) + np.trace(second) - 2 * both
    assert frechet_distance(a, b) == pytest.approx(literal, rel=1e-5)


def test_frechet_distances_are_averaged_over_sets_and_modalities() -> None:
    real = [RANDOM.normal(size=(50, 2)), RANDOM.normal(size=(40, 3))]
    sets = [[real[0] + 1, real[0]], [np.repeat(real[1], 3, axis=0)]]
    values = measure_frechet([lambda x: x, None], ["a", "b"], real, {"frechet": sets})
    assert values == {"frechet/a": pytest.approx(1), "frechet": pytest.approx(1)}


def test_a_mixture_is_found_by_its_bic_and_drawn_from(tmp_path: Path) -> None:
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    kind = RANDOM.choice(3, 3000, p=[0.5, 0.3, 0.2])
    spread = np.array([[1.0, 0.6], [0.6, 1.0]])
    points = centres[kind] + RANDOM.multivariate_normal([0, 0], spread, 3000)
    mixture = fit_latent_mixture(points)
    assert len(mixture.weights) == 3
    mixture.save(tmp_path)
    kept = LatentMixture.load(tmp_path)
    assert kept is not None
    drawn = kept.draw(20_000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.mean(0), points.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(points.T), rtol=0.05, atol=0.2)
    assert LatentMixture.load(tmp_path / "elsewhere") is None


def test_many_dimensions_have_variances_alone_and_dead_ones_do_no_harm() -> None:
    points = RANDOM.normal(size=(200, 40)) * np.r_[np.ones(39), 0]
    mixture = fit_latent_mixture(points)
    assert mixture.covariances.shape == (len(mixture.weights), 40)
    assert abs(mixture.draw(10, RANDOM)[:, -1]).max() < 0.01
    with pytest.raises(ValueError, match="needs 2 events or more; got 1"):
        fit_latent_mixture(np.zeros((1, 2)))


def test_subsets_are_all_where_few_and_bounded_where_many() -> None:
    assert some_subsets(2, 5) == [(0,), (1,)]
    every = [s for size in (1, 2) for s in combinations(range(3), size)]
    assert some_subsets(3, 5) == every
    many = some_subsets(60, 5)
    assert many == some_subsets(60, 5)
    assert len(set(many)) == 25
    assert {len(s) for s in many} == {1, 16, 30, 44, 59}
    for subset in many:
        targets = targets_of(subset, 60, 5)
        assert len(set(targets)) == min(5, 60 - len(subset))
        assert not set(targets) & set(subset)


def drawn_events() -> Drawn:
    """Of M = 3 modalities; latents of (0,) know the class, those of (1, 2) never."""
    label = np.array([0, 1, 2, 0, 1, -1])
    there = np.ones((6, 3), dtype=bool)
    there[0, 0] = False
    rows = np.where(there, np.arange(6)[:, None], -1)
    right = np.maximum(label, 0)[:, None].astype(float)
    return Drawn(label, rows, there, {(0,): right, (1, 2): right + 1})


def test_subset_coherence_counts_the_events_that_have_the_subset() -> None:
    drawn = drawn_events()
    seen = []

    def classify(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return np.where(x[:, 0] == 2, 0, x[:, 0]).astype(np.int64)  # the class 2 is not known

    score = score_classes(drawn, [classify] * 3)
    values = measure_subsets(drawn, lambda z, n: z, score, 5)
    assert values == {"subset_coherence/1": 3 / 4, "subset_coherence/2": 0.0}
    assert seen == [5, 5, 6]
    assert measure_subsets(drawn, lambda z, n: z, score_classes(drawn, [None] * 3), 5) == {}


def test_subset_coherence_of_tags_ranks_scores() -> None:
    drawn = drawn_events()
    tags = np.array([[0, 1], [1, 0], [1, np.nan], [0, 1], [1, 0], [1, 1]], dtype=float)
    score = score_tags(drawn, [lambda x: np.c_[x, x]] * 3, tags)
    values = measure_subsets(drawn, lambda z, n: z, score, 5)
    assert set(values) == {f"subset_coherence_{k}/{s}" for k in ("ap", "auroc") for s in (1, 2)}
    assert 0 <= values["subset_coherence_ap/1"] <= 1


def test_agreement_is_over_pairs_of_modalities() -> None:
    a, b, c = np.array([0, 1, 2, 3]), np.array([0, 1, 0, 0]), np.array([0, 0, 0, 3])
    assert agreement([a, b, c]) == pytest.approx((0.5 + 0.5 + 0.5) / 3)


def test_runs_on_the_same_samples_share_a_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LEAST_STEPS": 1, "EPOCHS": 1, "KEPT": 2, "_kept": {}}.items():
        monkeypatch.setattr(trunk_classifier, name, value)
    x = RANDOM.normal(size=(20, 1, 8, 8)).astype(np.float32)
    given = [(x, 2), (x.copy(), 2), (x, 3), (x + 1, 2), (x, 2)]
    first, same, other_labels, other_samples, fitted_again = (
        fit_trunk("image", Labelled(one, np.arange(20) % count), torch.device("cpu")).scores
        for one, count in given
    )
    assert first is same
    assert len({id(one) for one in (first, other_labels, other_samples, fitted_again)}) == 4


@pytest.mark.parametrize("fit", [fit_logistic, fit_mlp, "trunk"])
def test_every_classifier_has_features(fit: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_classifier, "LEAST_STEPS", 1)
    monkeypatch.setattr(trunk_classifier, "EPOCHS", 1)
    label = np.arange(60) % 3
    x = (RANDOM.normal(size=(60, 1, 8, 8)) + label[:, None, None, None]).astype(np.float32)
    data = Labelled(x, label)
    judge = fit_trunk("image", data, torch.device("cpu")) if fit == "trunk" else fit(data)
    features = judge.features(x)
    assert features.ndim == 2
    assert len(features) == 60
    assert np.isfinite(features).all()
