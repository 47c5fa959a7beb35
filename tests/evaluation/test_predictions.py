"""The collected predictions are complete, ordered, and free of repeats."""

from __future__ import annotations

import numpy as np
import torch

from mixvae.contracts import Batch, MixturePosterior, MixtureStep
from mixvae.evaluation.consensus import vote
from mixvae.evaluation.mixture import MixtureEvaluation
from mixvae.evaluation.predictions import PredictionCollector, tabulate

A, N, K, S = 2, 23, 4, 3


def draw() -> tuple[MixturePosterior, Batch]:
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(A, N, K, generator=generator).softmax(-1)
    mean = torch.randn(A, N, S, generator=generator)
    index = torch.randperm(N, generator=generator)
    label = torch.randint(K, (N,), generator=generator)
    batch = Batch(torch.zeros(N, 1), label, index)
    return MixturePosterior(probs, mean, torch.zeros_like(mean)), batch


def test_batches_are_joined_in_the_order_of_the_data() -> None:
    posterior, batch = draw()
    collector = PredictionCollector()
    # The last rows are seen twice, as a distributed sampler would repeat them.
    for rows in (slice(0, 8), slice(8, 16), slice(16, N), slice(N - 3, N)):
        cut = MixturePosterior(*(value[:, rows] for value in posterior))
        collector.update(cut, Batch(*(value[rows] for value in batch[:3])))
    table = collector.compute()
    order = batch.index.argsort()
    np.testing.assert_array_equal(table.index, np.arange(N))
    np.testing.assert_array_equal(table.label, batch.label[order])
    np.testing.assert_array_equal(table.probs, posterior.probs[:, order])
    np.testing.assert_array_equal(table.state_mean, posterior.state_mean[:, order])
    np.testing.assert_array_equal(table.category, posterior.probs.argmax(-1)[:, order])
    np.testing.assert_array_equal(table.consensus, vote(posterior.probs)[order])


def test_ranks_are_joined_in_the_order_of_the_data() -> None:
    posterior, batch = draw()
    whole, ranks = PredictionCollector(), [PredictionCollector(), PredictionCollector()]
    whole.update(posterior, batch)
    for collector, rows in zip(ranks, [slice(0, 9), slice(9, N)], strict=True):
        cut = MixturePosterior(*(value[:, rows] for value in posterior))
        collector.update(cut, Batch(*(value[rows] for value in batch[:3])))
    ranks[0].merge_state(ranks[1])
    for joined, expected in zip(ranks[0].compute(), whole.compute(), strict=True):
        np.testing.assert_array_equal(joined, expected)


def test_confidence_is_the_mean_probability_of_the_consensus() -> None:
    posterior, batch = draw()
    collector = PredictionCollector()
    collector.update(posterior, batch)
    table = collector.compute()
    for n in range(N):
        expected = np.mean([table.probs[a, n, table.consensus[n]] for a in range(A)])
        np.testing.assert_allclose(table.confidence[n], expected, rtol=1e-6)
        for a in range(A):
            assert table.probability[a, n] == table.probs[a, n, table.category[a, n]]


def test_counts_of_the_table_are_those_of_the_evaluation() -> None:
    posterior, batch = draw()
    batch = batch._replace(label=batch.label.where(batch.index > 4, -1))
    collector, evaluation = PredictionCollector(), MixtureEvaluation(A, K, K)
    collector.update(posterior, batch)
    zeros = torch.zeros(A, N)
    evaluation.update(MixtureStep(posterior, zeros, zeros), batch.label)
    counts = tabulate(collector.compute(), num_classes=K)
    for ours, theirs in zip(counts, evaluation.counts(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_classes_the_label_counts_are_empty() -> None:
    posterior, batch = draw()
    collector = PredictionCollector()
    collector.update(posterior, batch._replace(label=torch.full((N,), -1)))
    counts = tabulate(collector.compute(), num_classes=0)
    assert counts.labels.shape == (A + 1, K, 0)
    assert counts.occupancy.sum() == (A + 1) * N
