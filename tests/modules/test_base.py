import weakref

import torch

from mixvae.contracts import Batch
from mixvae.data.resident import EvalLoader, ResidentTensors
from mixvae.modules import base


def batch_of(x: torch.Tensor) -> Batch:
    none = torch.zeros(len(x), dtype=torch.int64)
    return Batch(x, none, none)


def test_samples_to_fit_layers_to_hold_no_batch_in_memory(monkeypatch):
    monkeypatch.setattr(base, "MAX_FITTED", 20)
    alive = []

    class Batches:
        def __len__(self):
            return 4

        def __iter__(self):
            for number in range(4):
                assert all(kept() is None for kept in alive[:-1]), "an earlier batch is still held"
                x = torch.full((50, 3), float(number))
                alive.append(weakref.ref(x.untyped_storage()))
                yield batch_of(x)
                del x

    found = base.spread_samples(Batches())[:, 0].tolist()
    assert found == [float(number) for number in range(4) for _ in range(5)]


def test_a_loader_reads_the_samples_that_are_used_alone(monkeypatch):
    monkeypatch.setattr(base, "MAX_FITTED", 12)
    read: list[int] = []

    class Counted(ResidentTensors):
        def sample(self, rows: torch.Tensor) -> Batch:
            read.extend(rows.tolist())
            return self.batch(rows)

    tensors = Counted(torch.arange(100.0)[:, None], torch.zeros(100, dtype=torch.int64))
    loader = EvalLoader(tensors, torch.arange(100), 30)
    x = base.spread_samples(loader)
    assert read == x[:, 0].int().tolist()
    assert torch.equal(x, base.spread_samples([batch_of(batch.x) for batch in loader]))
