from itertools import chain

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from mixvae.contracts import Batch
from mixvae.data.resident import EpochOrder, EvalLoader, ResidentTensors, TrainLoader


def make_tensors(n: int = 53) -> ResidentTensors:
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (n, 1, 4, 5), dtype=torch.uint8, generator=generator)
    return ResidentTensors(stored, torch.arange(n) % 10, unit=255)


def rows_of(loader: TrainLoader | EvalLoader) -> list[list[int]]:
    return [batch.index.tolist() for batch in loader]


def all_rows_of(loader: TrainLoader | EvalLoader) -> list[int]:
    return list(chain.from_iterable(rows_of(loader)))


def train_loader(n: int = 53, batch_size: int = 8, **options: int) -> TrainLoader:
    options = {"seed": 0, **options}
    return TrainLoader(make_tensors(n), torch.arange(n), batch_size, **options)


def test_a_batch_is_that_of_a_sample_by_sample_collate():
    tensors, rows = make_tensors(), torch.arange(5, 50)
    scaled = torch.stack([tensors.stored[i].float() / 255 for i in rows])
    reference = DataLoader(TensorDataset(scaled, tensors.label[rows], rows), batch_size=9)
    batches = list(EvalLoader(tensors, rows, 9))
    assert len(batches) == len(reference) == 5
    for batch, (x, label, index) in zip(batches, reference, strict=True):
        assert isinstance(batch, Batch)
        assert batch.x.dtype == torch.float32
        assert batch.label.dtype == batch.index.dtype == torch.int64
        assert torch.equal(batch.x, x)
        assert torch.equal(batch.label, label)
        assert torch.equal(batch.index, index)


def test_values_reach_exactly_0_and_1():
    stored = torch.tensor([[0], [16], [255]], dtype=torch.uint8)
    for unit in (16, 255):
        x = (
            ResidentTensors(stored, torch.zeros(3, dtype=torch.int64), unit)
            .batch(torch.arange(3))
            .x
        )
        assert x[0] == 0.0
        assert x[stored.flatten() == unit] == 1.0


def test_a_batch_is_a_copy():
    floats = ResidentTensors(torch.ones(4, 2), torch.zeros(4, dtype=torch.int64))
    floats.batch(torch.arange(4)).x.zero_()
    assert floats.stored.min() == 1.0


# --- order ---


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    def order(seed: int, epoch: int, earlier: int = 0) -> list[int]:
        permutation = EpochOrder(torch.arange(20), seed)
        for e in range(earlier):
            permutation.set_epoch(e)
            permutation.permuted()
        permutation.set_epoch(epoch)
        return permutation.permuted().tolist()

    torch.manual_seed(1)
    np.random.seed(1)
    expected = order(0, 3)
    torch.manual_seed(2)
    np.random.seed(2)
    assert order(0, 3, earlier=3) == expected
    assert sorted(expected) == list(range(20))
    # also seeds and epochs that add up to the same number
    assert len({tuple(order(s, e)) for s in range(4) for e in range(4)}) == 16


def test_drawing_the_order_leaves_the_global_generators_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(train_loader())
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


def test_the_epoch_is_read_at_the_first_batch_not_at_iter():
    loader = train_loader()
    early = iter(loader)  # Lightning makes the first iterator before it sets the epoch
    loader.sampler.set_epoch(2)
    late = next(early).index
    assert torch.equal(late, next(iter(loader)).index)
    loader.sampler.set_epoch(0)
    assert not torch.equal(late, next(iter(loader)).index)


def test_training_visits_rows_in_any_subset_once():
    rows = torch.tensor([3, 9, 4, 40, 41, 42])
    loader = TrainLoader(make_tensors(), rows, 3, seed=1)
    assert sorted(all_rows_of(loader)) == sorted(rows.tolist())


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (16, 8, [8, 8]),
        (19, 8, [8, 8]),  # a tail below half a batch is left out of this epoch
        (20, 8, [8, 8, 4]),
        (23, 8, [8, 8, 7]),
        (8, 8, [8]),
        (5, 1, [1] * 5),
        (5, 2, [2, 2]),  # a single sample has no batch statistics
    ],
)
def test_the_tail_is_used_from_half_a_batch(n, batch_size, sizes):
    loader = train_loader(n, batch_size)
    assert [len(batch.x) for batch in loader] == sizes
    assert len(loader) == len(sizes)


# --- stopping within an epoch ---


def test_a_loader_continues_after_the_batches_already_yielded():
    whole = train_loader()
    whole.sampler.set_epoch(1)
    expected = rows_of(whole)
    stopped = train_loader()
    stopped.sampler.set_epoch(1)
    iterator = iter(stopped)
    first = [next(iterator).index.tolist() for _ in range(2)]
    assert stopped.state_dict() == {"epoch": 1, "yielded": 2}

    resumed = train_loader()
    resumed.load_state_dict(stopped.state_dict())
    resumed.sampler.set_epoch(1)
    assert first + rows_of(resumed) == expected
    assert rows_of(resumed) == expected  # only the first iteration is short


def test_a_state_of_a_finished_epoch_does_not_shorten_the_next():
    loader = train_loader()
    list(loader)
    resumed = train_loader()
    resumed.load_state_dict(loader.state_dict())
    resumed.sampler.set_epoch(1)
    assert len(rows_of(resumed)) == len(resumed)


def test_epochs_of_some_steps_go_through_the_same_passes():
    passes, short = train_loader(), train_loader(epoch_steps=4)
    assert len(short) == 4
    assert short.pass_steps == len(passes)
    wanted, found = [], []
    for epoch in range(4):
        passes.sampler.set_epoch(epoch)
        wanted += rows_of(passes)
    for epoch in range(len(wanted) // 4):
        short.sampler.set_epoch(epoch)
        found += rows_of(short)
    assert len(found) >= 3 * len(passes)
    assert found == wanted[: len(found)]
    resumed = train_loader(epoch_steps=4)
    resumed.sampler.set_epoch(1)
    resumed.load_state_dict({"epoch": 1, "yielded": 3})
    assert rows_of(resumed) == wanted[7:8]


# --- sharing ---


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("n", "batch_size"), [(53, 7), (54, 9), (7, 100), (25, 12), (3, 2)])
def test_evaluation_covers_each_sample_once_in_equally_many_batches(n, batch_size, world_size):
    tensors, rows = make_tensors(n), torch.arange(n)
    shares = [
        EvalLoader(tensors, rows, batch_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    seen = []
    for share in shares:
        sizes = [len(batch.x) for batch in share]
        assert len(sizes) == len(share)
        assert 1 <= min(sizes) <= max(sizes) <= batch_size
        seen += all_rows_of(share)
    assert sorted(seen) == list(range(n))


@pytest.mark.parametrize(("n", "batch_size"), [(48, 8), (53, 8), (54, 8), (19, 2)])
def test_processes_share_each_training_batch(n, batch_size):
    single = rows_of(train_loader(n, batch_size))
    shares = [rows_of(train_loader(n, batch_size, rank=rank, world_size=2)) for rank in (0, 1)]
    assert len(shares[0]) == len(shares[1])
    for batch, left, right in zip(single, *shares, strict=False):
        assert len(left) == len(right)  # equal weights in the mean gradient
        assert sorted(left + right) == sorted(batch[: len(batch) - len(batch) % 2])


def eval_loader(n: int, batch_size: int, world_size: int = 1) -> EvalLoader:
    return EvalLoader(make_tensors(), torch.arange(n), batch_size, world_size=world_size)


@pytest.mark.parametrize(
    ("loader", "arguments", "message"),
    [
        (train_loader, (53, 54), "batch_size is 54 but the training set has 53 samples"),
        (train_loader, (53, 1.5), "batch_size is 1.5"),
        (eval_loader, (53, 0), "batch_size is 0"),
        (eval_loader, (3, 1, 2), "3 evaluation samples in batches of 1 leave one of 2"),
        (eval_loader, (1, 8, 2), "1 evaluation samples in batches of 8"),
        (eval_loader, (0, 8, 1), "0 evaluation samples in batches of 8"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(loader, arguments, message):
    with pytest.raises(ValueError, match=message):
        loader(*arguments)


def test_a_batch_that_cannot_be_shared_equally_is_refused():
    with pytest.raises(ValueError, match="batch_size is 9, which 2 processes cannot share equally"):
        train_loader(53, 9, world_size=2)


@pytest.mark.parametrize(("n", "batch_size", "count"), [(50, 8, 20), (53, 53, 7), (53, 10, 500)])
def test_a_thinned_loader_reads_an_equal_share_of_each_batch_alone(n, batch_size, count):
    loader = EvalLoader(make_tensors(n), torch.arange(n), batch_size)
    share = -(-count // len(loader))
    wanted = [row for rows in rows_of(loader) for row in rows[:: -(-len(rows) // share)]]
    thinned = loader.thinned(count)
    assert len(thinned) == len(loader)
    assert all_rows_of(thinned) == wanted
    assert all_rows_of(loader) == list(range(n))
