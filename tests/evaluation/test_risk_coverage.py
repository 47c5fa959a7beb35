"""Accuracy against coverage equals a literal loop over samples, and over orders of tied ones."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mixvae.evaluation.clustering import clustering_accuracy
from mixvae.evaluation.consensus import vote
from mixvae.evaluation.risk_coverage import RiskCoverage, accuracy_at_coverage, is_correct


def test_accuracy_at_coverage_is_that_of_a_loop_over_the_most_confident():
    random = np.random.default_rng(0)
    confidence, correct = random.random(50), random.random(50) < 0.7
    expected = []
    for n in range(1, 51):
        most = sorted(range(50), key=lambda i: -confidence[i])[:n]
        expected.append(sum(bool(correct[i]) for i in most) / n)
    np.testing.assert_allclose(accuracy_at_coverage(confidence, correct), expected)


def test_tied_samples_are_taken_in_every_order():
    confidence = np.array([0.5, 0.9, 0.5, 0.1, 0.5, 0.9])
    correct = np.array([True, False, False, True, True, True])
    curves = []
    for order in permutations(range(6)):
        if (np.diff(confidence[list(order)]) <= 0).all():
            curves.append(correct[list(order)].cumsum() / np.arange(1, 7))
    assert len(curves) == 2 * 6
    np.testing.assert_allclose(accuracy_at_coverage(confidence, correct), np.mean(curves, axis=0))


def test_the_metric_is_that_of_all_samples_at_once_each_counted_once():
    generator = torch.Generator().manual_seed(1)
    probs = torch.rand(3, 40, 5, generator=generator).softmax(dim=-1)
    label = torch.randint(-1, 4, (40,), generator=generator)
    metric = RiskCoverage(num_categories=5, num_classes=4)
    for rows in (torch.arange(25), torch.arange(20, 40)):
        batch = SimpleNamespace(index=rows, label=label[rows])
        metric.update(SimpleNamespace(probs=probs[:, rows]), batch)
    known = (label >= 0).numpy()
    category = vote(probs).numpy()[known]
    table = np.zeros((5, 4), dtype=int)
    for k, c in zip(category, label.numpy()[known], strict=True):
        table[k, c] += 1
    correct = is_correct(category, label.numpy()[known], 5, 4)
    assert correct.mean() == pytest.approx(clustering_accuracy(table))
    mean = probs.mean(dim=0).numpy()[known]
    curve = accuracy_at_coverage(mean[np.arange(len(category)), category], correct)
    assert metric.compute()["aurc"].item() == pytest.approx(1 - curve.mean())


def test_without_a_labelled_sample_nothing_is_measured():
    metric = RiskCoverage(num_categories=2, num_classes=2)
    batch = SimpleNamespace(index=torch.arange(3), label=torch.full((3,), -1))
    metric.update(SimpleNamespace(probs=torch.full((1, 3, 2), 0.5)), batch)
    assert metric.compute() == {}
