import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from mixvae.data.cells.backed import BackedCells, ChunkedOrder
from mixvae.data.cells.generator import generate_cells
from mixvae.data.cells.genes import find_genes
from mixvae.data.cells.paths import CellPaths
from mixvae.data.cells.preparation import Preparation
from mixvae.data.cells.synthetic import write_cells
from mixvae.data.resident import TrainLoader, _cut_ahead

NUM_CELLS, CHUNK, BUFFER = 400, 16, 5


@pytest.fixture(scope="module")
def cells():
    return generate_cells(num_cells=NUM_CELLS, num_genes=120, num_types=3)


@pytest.fixture
def path(cells, tmp_path):
    write_cells(cells, tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.fixture
def backed(cells, path):
    genes = cells.gene_names[10:60]
    columns = find_genes(cells.gene_names, genes)
    x = Preparation(genes, "counts", "log_cpm", 1e6, "counts", columns)
    counts = Preparation(genes, "counts", "none", None, "counts", columns)
    files = CellPaths((str(path),))
    return BackedCells(files, [x, counts], torch.from_numpy(cells.type), CHUNK, BUFFER)


def expected(cells):
    counts = cells.counts.toarray()
    return np.log1p(1e6 * counts / counts.sum(1, keepdims=True))[:, 10:60]


def spans_read(backed: BackedCells, monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """Return a list that grows by each range of rows that is read of x."""
    backed.batch(torch.tensor([0]))
    read: list[range] = []
    plain = backed._matrices[0].read_spans
    monkeypatch.setattr(
        backed._matrices[0], "read_spans", lambda spans: read.extend(spans) or plain(spans)
    )
    return read


@pytest.mark.parametrize("rows", [[0], [399, 0, 17], [5, 5], list(range(0, 400, 3))])
def test_rows_come_in_the_order_asked_for(backed, cells, rows):
    batch = backed.batch(torch.tensor(rows))
    np.testing.assert_allclose(batch.x, expected(cells)[rows], rtol=1e-6)
    assert np.array_equal(batch.counts, cells.counts.toarray()[rows, 10:60])
    assert batch.label.tolist() == cells.type[rows].tolist()
    assert batch.index.tolist() == rows


def test_no_more_chunks_stay_in_memory_than_the_buffer_holds(backed):
    backed.batch(torch.arange(NUM_CELLS))
    assert (backed._block >= 0).sum() == BUFFER
    parts = [part for matrices in backed._blocks.values() for part in matrices]
    assert {part.shape[0] for part in parts} == {BUFFER * CHUNK}
    assert all(map(sparse.issparse, parts))


def test_an_epoch_reads_every_chunk_once(backed, monkeypatch):
    spans = spans_read(backed, monkeypatch)
    order = ChunkedOrder(torch.arange(NUM_CELLS), 0, CHUNK, BUFFER)
    order.set_epoch(3)
    for rows in order.permuted().split(30):
        backed.batch(rows)
    assert len(spans) <= NUM_CELLS // CHUNK
    assert len({span.start for span in spans}) == len(spans)


def test_the_order_is_a_permutation_that_seed_and_epoch_choose():
    rows = torch.arange(1, NUM_CELLS, 2)
    order = ChunkedOrder(rows, 0, CHUNK, BUFFER)
    first = order.permuted()
    assert first.sort().values.tolist() == rows.tolist()
    assert torch.equal(order.permuted(), first)
    order.set_epoch(1)
    assert not torch.equal(order.permuted(), first)
    assert not torch.equal(ChunkedOrder(rows, 1, CHUNK, BUFFER).permuted(), first)
    order.set_epoch(0)
    assert torch.equal(order.permuted(), first)


def test_a_file_sorted_by_type_is_mixed():
    # 20,000 cells of 10 types, one after the other: batches hold the types in their proportions
    types = torch.arange(20_000) // 2000
    order = ChunkedOrder(torch.arange(20_000), 0, chunk_rows=64, buffer_chunks=64)
    shares = torch.stack(
        [types[rows].bincount(minlength=10) / 500.0 for rows in order.permuted().split(500)]
    )
    deviation = (shares - 0.1).std(0).mean()
    independent = (0.1 * 0.9 / 500) ** 0.5
    assert deviation < 4 * independent
    unmixed = ChunkedOrder(torch.arange(20_000), 0, chunk_rows=64, buffer_chunks=1).permuted()
    worse = torch.stack([types[rows].bincount(minlength=10) / 500.0 for rows in unmixed.split(500)])
    assert (worse - 0.1).std(0).mean() > 6 * independent


def test_a_loader_goes_on_in_the_middle_without_reading_what_came_before(backed, monkeypatch):
    def loader():
        made = TrainLoader(backed, torch.arange(NUM_CELLS), 20, seed=0)
        made.sampler = ChunkedOrder(torch.arange(NUM_CELLS), 0, CHUNK, BUFFER)
        made.sampler.set_epoch(2)
        return made

    whole = list(loader())
    stopped = loader()
    iterator = iter(stopped)
    for _ in range(17):
        next(iterator)
    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    backed._forget()
    spans = spans_read(backed, monkeypatch)
    rest = list(resumed)
    assert len(spans) <= 2 * BUFFER
    for ours, theirs in zip(rest, whole[17:], strict=True):
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.index, theirs.index)


def test_it_crosses_to_another_process(backed):
    backed.batch(torch.tensor([1]))
    other = pickle.loads(pickle.dumps(backed))
    assert torch.equal(other.batch(torch.tensor([3])).x, backed.batch(torch.tensor([3])).x)
    moved = backed.to(torch.device("cpu"))
    assert torch.equal(
        moved.batch(torch.tensor([3])).counts, backed.batch(torch.tensor([3])).counts
    )


def test_single_rows_are_read_without_their_chunks_and_not_kept(backed, cells, monkeypatch):
    spans = spans_read(backed, monkeypatch)
    rows = [399, 3, 40, 42, 3]
    np.testing.assert_allclose(backed.sample(torch.tensor(rows)).x, expected(cells)[rows], 1e-6)
    assert spans == [range(3, 4), range(40, 43), range(399, 400)]
    assert np.flatnonzero(backed._block >= 0).tolist() == [0]


def test_a_file_is_known_by_some_of_its_cells(path, cells, monkeypatch):
    monkeypatch.setattr("mixvae.data.cells.matrices.MOST_SEEN", 64)
    monkeypatch.setattr("mixvae.data.cells.matrices.NEIGHBOURS", 8)
    rows = np.arange(0, NUM_CELLS, 2)
    with CellPaths((str(path),)).open() as source:
        seen, found = source.matrix("counts").sampled(rows)
    counts = cells.counts.toarray()
    assert seen.shape == (64, 120)
    assert len(found) == 32
    # each is one of the rows asked for, and neighbours stay together
    number = [int(np.flatnonzero((counts == row).all(axis=1))[0]) for row in seen.whole.toarray()]
    assert set(np.array(number)[found].tolist()) <= set(rows.tolist())
    assert (np.diff(np.reshape(number, (8, 8))) == 1).all()


def test_a_thread_reads_ahead_the_same_batches_from_any_point_of_an_epoch(backed, monkeypatch):
    def batches(ahead, resumed=0):
        monkeypatch.setattr("mixvae.data.cells.backed.AHEAD", ahead)
        loader = TrainLoader(backed, torch.arange(NUM_CELLS), 30, seed=0)
        loader.sampler = ChunkedOrder(torch.arange(NUM_CELLS), 0, CHUNK, BUFFER)
        loader.load_state_dict({"epoch": 0, "yielded": resumed})
        found = []
        for number, batch in enumerate(loader, resumed + 1):
            assert loader.state_dict() == {"epoch": 0, "yielded": number}
            found.append(batch)
        return found

    plain, ahead, later = batches(0), batches(16), batches(16, resumed=4)
    assert len(plain) == len(ahead) == len(later) + 4
    for one, other in zip(plain + plain[4:], ahead + later, strict=True):
        assert torch.equal(one.index, other.index)
        assert torch.equal(one.x, other.x)


def test_reading_ahead_stops_with_the_epoch_and_its_errors_arrive():
    started = []

    def cut(number):
        started.append(number)
        if number == 5:
            raise OSError("gone")
        return number

    batches = _cut_ahead(cut, range(100), 3)
    assert [next(batches) for _ in range(2)] == [0, 1]
    batches.close()
    assert len(started) <= 5
    with pytest.raises(OSError, match="gone"):
        list(_cut_ahead(cut, range(10), 2))
