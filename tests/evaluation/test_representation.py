"""Probes and coherence on made-up latents with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.evaluation.latents import LatentTable, Samples
from mixvae.evaluation.probe import fit_logistic
from mixvae.evaluation.representation import (
    SplitInference,
    fit_judges,
    measure_coherence,
    measure_probes,
)

NAMES = ("clear", "turned", "noise")
CENTRES = 8.0 * np.array([[0, 0], [1, 0], [0, 1]])


def make(size: int, seed: int, joint: bool = False) -> SplitInference:
    """Latents of three modalities: classes apart, the same with classes swapped, and noise."""
    generator = np.random.default_rng(seed)
    label = np.arange(size) % 3
    noise = generator.normal(size=(3, size, 2))
    mean = noise + np.stack([CENTRES[label], CENTRES[(label + 1) % 3], np.zeros((size, 2))])
    rows = np.arange(size)[:, None].repeat(3, axis=1)
    samples = []
    for shift in (0, 0, 0):
        x = generator.normal(size=(size, 4)).astype(np.float32)
        x[np.arange(size), (label + shift) % 3] += 9
        samples.append(Samples(np.arange(size), label, x))
    joint_mean = mean[0].astype(np.float32) if joint else None
    table = LatentTable(
        np.arange(size), label, rows, mean.astype(np.float32), 0 * mean, joint_mean, joint_mean
    )
    return SplitInference(table, samples)


def decode(latent: np.ndarray, modality: int) -> np.ndarray:
    """Light the feature of the nearest centre."""
    nearest = ((latent[:, None] - CENTRES) ** 2).sum(-1).argmin(1)
    return 9.0 * np.eye(4)[nearest]


def test_probes_tell_the_clear_from_the_noisy() -> None:
    judges = fit_judges(make(120, 0), fit_logistic)
    values = measure_probes(judges, make(300, 1).latents, NAMES)
    assert values["probe_accuracy/clear"] > 0.99
    assert values["probe_accuracy/turned"] > 0.99
    assert values["probe_accuracy/noise"] == pytest.approx(1 / 3, abs=0.1)
    mean = np.mean([values[f"probe_accuracy/{name}"] for name in NAMES])
    assert values["probe_accuracy"] == pytest.approx(mean)
    # One probe for all cannot serve two modalities that call the classes differently.
    assert values["shared_probe_accuracy/clear"] + values["shared_probe_accuracy/turned"] < 1.5
    assert "probe_accuracy/joint" not in values


def test_a_joint_posterior_is_probed_apart() -> None:
    judges = fit_judges(make(120, 0, joint=True), fit_logistic)
    values = measure_probes(judges, make(300, 1, joint=True).latents, NAMES)
    assert values["probe_accuracy/joint"] > 0.99
    assert values["probe_balanced_accuracy/joint"] > 0.99
    assert values["probe_accuracy"] < 0.9


def test_coherence_is_told_by_pair_and_apart_from_self() -> None:
    judges = fit_judges(make(120, 0), fit_logistic)
    values = measure_coherence(judges, make(300, 1), NAMES, decode)
    assert values["classifier_accuracy"] > 0.99
    assert values["coherence/clear_to_noise"] > 0.99
    assert values["coherence/turned_to_clear"] < 0.01
    assert values["self_coherence/clear"] > 0.99
    assert values["self_coherence/turned"] < 0.01
    pairs = [value for name, value in values.items() if name.startswith("coherence/")]
    assert len(pairs) == 6
    assert values["coherence"] == pytest.approx(np.mean(pairs))
    own = np.mean([values[f"self_coherence/{name}"] for name in NAMES])
    assert values["self_coherence"] == pytest.approx(own)


def test_a_sample_of_several_events_is_tested_once() -> None:
    train, test = make(120, 0), make(300, 1)
    # All events share one sample of `clear`, but for one.
    rows = test.latents.rows.copy()
    rows[:299, 0] = 0
    values = measure_probes(
        fit_judges(train, fit_logistic), test.latents._replace(rows=rows), NAMES
    )
    assert values["probe_accuracy/clear"] in (0.0, 0.5, 1.0)


def test_a_modality_without_two_known_classes_is_left_out() -> None:
    train = make(120, 0)
    rows = train.latents.rows.copy()
    rows[:, 1] = np.where(train.latents.label == 0, rows[:, 1], -1)
    row, label, x = train.samples[1]
    part = Samples(row[label == 0], label[label == 0], x[label == 0])
    train = SplitInference(
        train.latents._replace(rows=rows), [train.samples[0], part, train.samples[2]]
    )
    judges = fit_judges(train, fit_logistic)
    assert judges.probes[1] is None
    assert judges.classifiers[1] is None
    values = measure_coherence(judges, make(300, 1), NAMES, decode)
    values |= measure_probes(judges, make(300, 1).latents, NAMES)
    assert "probe_accuracy/turned" not in values
    assert {name for name in values if name.startswith("coherence/")} == {
        "coherence/clear_to_noise",
        "coherence/noise_to_clear",
    }


def test_no_known_label_is_an_error() -> None:
    train = make(30, 0)
    unknown = np.full(30, -1)
    samples = [sample._replace(label=unknown) for sample in train.samples]
    with pytest.raises(ValueError, match="no two classes are known"):
        fit_judges(SplitInference(train.latents._replace(label=unknown), samples), fit_logistic)
