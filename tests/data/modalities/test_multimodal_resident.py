"""Events in memory: what a batch holds, and how fast it is cut."""

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mixvae.contracts import MultimodalBatch
from mixvae.data.modalities.base import scale_of
from mixvae.data.modalities.resident import ModalityStores, MultimodalTensors, compact
from mixvae.data.resident import EvalLoader, TrainLoader


def make(num_events: int = 9, **options: object) -> MultimodalTensors:
    generator = torch.Generator().manual_seed(0)
    stores = [torch.randn(5, 3, generator=generator), torch.randn(4, 1, 2, 2, generator=generator)]
    events = torch.stack([torch.arange(num_events) % 5, torch.arange(num_events) % 4], dim=1)
    events[1, 0] = events[2, 1] = -1
    return MultimodalTensors(
        ModalityStores(stores), events, torch.arange(num_events) % 2, **options
    )


def test_a_batch_holds_what_the_table_says():
    tensors = make()
    rows = torch.tensor([2, 0, 1, 8])
    batch = tensors.batch(rows)
    assert isinstance(batch, MultimodalBatch)
    assert torch.equal(batch.index, rows)
    assert torch.equal(batch.rows, tensors.events[rows])
    assert torch.equal(batch.present, tensors.events[rows] >= 0)
    assert batch.label.tolist() == [0, 0, 1, 0]
    assert [tuple(x.shape) for x in batch.x] == [(4, 3), (4, 1, 2, 2)]
    for m, x in enumerate(batch.x):
        for b, row in enumerate(batch.rows[:, m].tolist()):
            expected = tensors.stores.arrays[m][row] if row >= 0 else torch.zeros_like(x[b])
            assert torch.equal(x[b], expected)


def test_a_batch_leaves_the_store_as_it_is():
    tensors = make()
    before = [array.clone() for array in tensors.stores.arrays]
    for x in tensors.batch(torch.arange(9)).x:
        x.add_(1)
    assert all(map(torch.equal, before, tensors.stores.arrays))


def test_events_may_change_from_epoch_to_epoch_and_with_nothing_else():
    def events_of(epoch: int) -> torch.Tensor:
        return torch.full((9, 2), epoch)

    tensors = make(events_of=events_of)
    loader = TrainLoader(tensors, torch.arange(9), 3, seed=0)
    for epoch in (2, 0, 2):
        loader.sampler.set_epoch(epoch)
        assert all((batch.rows == epoch).all() for batch in loader)
    still = EvalLoader(tensors, torch.arange(9), 4)
    assert torch.equal(torch.cat([batch.rows for batch in still]), tensors.events)


def test_splits_share_one_copy_on_a_device():
    tensors = make()
    other = MultimodalTensors(tensors.stores, tensors.events[:2], tensors.label[:2])
    device = torch.device("meta")
    assert tensors.to(device).stores is other.to(device).stores
    assert tensors.to(torch.device("cpu")).stores is tensors.stores
    assert {part.device.type for part in tensors.to(device).batch(torch.arange(2)).x} == {"meta"}


def test_standardised_is_by_the_training_rows():
    samples = np.random.default_rng(0).normal(3, 2, (50, 2, 3)).astype(np.float32)
    samples[:40, 0, 0] = 7.0
    samples[40:, 0, 0] = 8.0
    rows = np.arange(40)
    scale = scale_of(samples, rows)
    scaled = scale.apply(samples)
    assert scaled.dtype == np.float32
    inside = scaled[rows].reshape(40, -1)[:, 1:]
    np.testing.assert_allclose(inside.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(inside.std(axis=0), 1, atol=1e-5)
    assert (scaled[rows, 0, 0] == 0).all()
    assert (scaled[40:, 0, 0] == 1).all()


def test_a_table_that_is_complete_is_cut_alike():
    tensors = make()
    whole = torch.tensor([0, 3, 8])
    quick = MultimodalTensors(tensors.stores, tensors.events, tensors.label, is_complete=True)
    for first, second in zip(tensors.batch(whole).x, quick.batch(whole).x, strict=True):
        assert torch.equal(first, second)
    assert tensors.batch(whole).present.all()


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0, 255], np.uint8), ([0, 256], np.float32), ([-1, 2], np.float32), ([0.5, 2], np.float32)],
)
def test_bytes_are_used_where_nothing_is_lost(values, kind):
    samples = np.array([values], dtype=np.float32)
    stored = compact(samples)
    assert stored.dtype == kind
    assert np.array_equal(stored, samples)
    stores = ModalityStores([torch.from_numpy(stored)])
    zero = torch.zeros(1, dtype=torch.int64)
    x = MultimodalTensors(stores, zero[:, None], zero).batch(zero).x[0]
    assert x.dtype == torch.float32
    assert torch.equal(x, torch.from_numpy(samples))


class Samplewise(Dataset):
    """The same events, one at a time."""

    def __init__(self, tensors: MultimodalTensors) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors.label)

    def __getitem__(self, event: int) -> dict[str, object]:
        rows = self.tensors.events[event].tolist()
        x = {
            f"m{m}": a[r]
            for (m, a), r in zip(enumerate(self.tensors.stores.arrays), rows, strict=True)
        }
        return {"x": x, "label": self.tensors.label[event], "index": event}


@pytest.mark.slow
def test_cutting_events_is_many_times_faster_than_collating_them():
    stores = ModalityStores([torch.rand(3000, 400) for _ in range(5)])
    events = torch.randint(0, 3000, (2000, 5))
    tensors = MultimodalTensors(stores, events, torch.zeros(2000, dtype=torch.int64))
    ours = TrainLoader(tensors, torch.arange(2000), 125, seed=0)
    theirs = DataLoader(Samplewise(tensors), batch_size=125, shuffle=True)
    # The fastest of several passes: the first one also warms up memory and threads.
    assert cpu_seconds(theirs) > 3 * cpu_seconds(ours)


def cpu_seconds(loader: Iterable[Any]) -> float:
    """CPU time of the fastest of five passes."""
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        assert sum(1 for _ in loader) == 16
        seconds.append(time.process_time() - begin)
    return min(seconds)
