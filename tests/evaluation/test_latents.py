"""Each event and each sample is kept once, in order, however it was batched or repeated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixvae.contracts import MultimodalBatch, MultimodalPosterior
from mixvae.evaluation.latents import LatentCollector, SampleCollector

ROWS = torch.tensor([[3, 10], [1, 10], [-1, 12], [3, 11], [7, -1]])
LABEL = torch.tensor([0, 1, 2, 0, -1])


def batch(events: list[int]) -> MultimodalBatch:
    rows = ROWS[events]
    # A sample's value is its row, so that a mix-up shows.
    x = (rows[:, :1].float(), rows[:, 1:].float().repeat(1, 3))
    return MultimodalBatch(x, rows >= 0, LABEL[events], torch.tensor(events), rows)


def posterior(events: list[int], has_joint: bool = False) -> MultimodalPosterior:
    mean = ROWS[events].T[..., None].repeat(1, 1, 2).float()
    joint = torch.tensor(events)[:, None].float() if has_joint else None
    return MultimodalPosterior(mean, -mean, joint, None if joint is None else -joint)


def collect(has_joint: bool = False):
    collector = LatentCollector()
    # Out of order, and event 1 twice, as a distributed sampler may repeat it.
    for events in ([4, 1], [3, 0, 1], [2]):
        collector.update(posterior(events, has_joint), batch(events))
    return collector.compute()


def test_events_are_in_order_and_once() -> None:
    table = collect(has_joint=True)
    np.testing.assert_array_equal(table.index, np.arange(5))
    np.testing.assert_array_equal(table.label, LABEL)
    np.testing.assert_array_equal(table.rows, ROWS)
    assert table.mean.shape == table.logvar.shape == (2, 5, 2)
    np.testing.assert_array_equal(table.mean[..., 0], ROWS.T)
    np.testing.assert_array_equal(table.joint_mean[:, 0], np.arange(5))
    assert collect().joint_mean is None


def test_a_sample_of_several_events_counts_once() -> None:
    table = collect()
    first, second = table.of_modality(0), table.of_modality(1)
    np.testing.assert_array_equal(first.row, [1, 3, 7])
    np.testing.assert_array_equal(first.label, [1, 0, -1])
    np.testing.assert_array_equal(second.row, [10, 11, 12])
    np.testing.assert_array_equal(second.mean[:, 1], second.row)
    np.testing.assert_array_equal(second.logvar[:, 0], -second.row)


def test_samples_are_kept_once() -> None:
    collector = SampleCollector(2, max_samples=3)
    for events in ([4, 1], [3, 0, 1], [2]):
        collector.update(batch(events))
    first, second = collector.compute()
    np.testing.assert_array_equal(first.row, [1, 3, 7])
    np.testing.assert_array_equal(first.x[:, 0], [1, 3, 7])
    np.testing.assert_array_equal(first.label, [1, 0, -1])
    np.testing.assert_array_equal(second.row, [10, 11, 12])
    np.testing.assert_array_equal(second.x[:, 2], [10, 11, 12])


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_of_many_sorted_samples_those_kept_are_spread_whatever_the_batches(size: int) -> None:
    count, kept = 1000, 100
    rows = torch.arange(count)[:, None]
    label = rows[:, 0] // 100  # sorted by class
    collector = SampleCollector(1, kept)
    for part in torch.arange(count).split(size):
        present = torch.ones(len(part), 1, dtype=torch.bool)
        x = (rows[part].float(),)
        collector.update(MultimodalBatch(x, present, label[part], part, rows[part]))
    (samples,) = collector.compute()
    assert len(samples.row) == kept
    np.testing.assert_array_equal(samples.x[:, 0], samples.row)
    np.testing.assert_array_equal(samples.label, samples.row // 100)
    assert np.bincount(samples.label).min() >= 8  # of about 10 of each class
    whole = SampleCollector(1, kept)
    everything = torch.ones(count, 1, dtype=torch.bool)
    whole.update(MultimodalBatch((rows.float(),), everything, label, rows[:, 0], rows))
    np.testing.assert_array_equal(whole.compute()[0].row, samples.row)


def test_ranks_join_without_repeats() -> None:
    """What a gather over ranks does to lists: one after the other."""
    ranks = [SampleCollector(2, 100) for _ in range(2)]
    ranks[0].update(batch([0, 2, 4]))
    ranks[1].update(batch([1, 3]))
    for name in ranks[0]._defaults:
        getattr(ranks[0], name).extend(getattr(ranks[1], name))
    first, second = ranks[0].compute()
    np.testing.assert_array_equal(first.row, [1, 3, 7])
    np.testing.assert_array_equal(second.row, [10, 11, 12])
