import numpy as np
import pytest
import torch
from scipy import sparse

from mixvae.data.cells import sparse as stored_rows
from mixvae.data.cells.sparse import DenseRows, DeviceSparseRows, ResidentCells, SparseRows, as_rows


@pytest.fixture
def matrix():
    random = np.random.default_rng(0)
    dense = random.poisson(0.4, (50, 30)).astype(np.float32)
    dense[7] = 0
    return dense


@pytest.mark.parametrize(
    "rows", [[3], [7], [7, 7, 0], list(range(49, -1, -1)), []], ids=lambda rows: f"{len(rows)}rows"
)
def test_every_form_gives_the_same_rows(matrix, rows):
    stored = as_rows(sparse.csr_matrix(matrix))
    on_device = DeviceSparseRows(
        starts=torch.from_numpy(stored.matrix.indptr.astype(np.int64)),
        columns=torch.from_numpy(stored.matrix.indices),
        values=torch.from_numpy(stored.matrix.data),
        num_columns=30,
    )
    wanted = torch.tensor(rows, dtype=torch.int64)
    for form in (stored, on_device, on_device.to(torch.device("cpu")), as_rows(matrix)):
        dense = form.dense(wanted)
        assert dense.dtype == torch.float32
        assert np.array_equal(dense.numpy(), matrix[rows].reshape(-1, 30))


def test_a_sparse_matrix_stays_sparse_and_shares_its_memory(matrix):
    source = sparse.csr_matrix(matrix)
    stored = as_rows(source)
    assert isinstance(stored, SparseRows)
    assert np.shares_memory(stored.matrix.data, source.data)
    assert stored.to(torch.device("cpu")) is stored


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("room", [True, False])
def test_on_a_gpu_rows_are_dense_where_there_is_room(matrix, room, monkeypatch):
    if not room:
        monkeypatch.setattr(stored_rows, "_free_bytes", lambda device: 0)
    device = torch.device("cuda")
    moved = as_rows(sparse.csr_matrix(matrix)).to(device)
    assert isinstance(moved, DenseRows if room else DeviceSparseRows)
    rows = [4, 2, 4]
    dense = moved.dense(torch.tensor(rows, device=device))
    assert np.array_equal(dense.cpu().numpy(), matrix[rows])


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_rows_are_made_dense_in_chunks(matrix, chunk, monkeypatch):
    monkeypatch.setattr(stored_rows, "_CHUNK", chunk)
    dense = stored_rows._dense_on(sparse.csr_matrix(matrix), torch.device("cpu"))
    assert np.array_equal(dense.numpy(), matrix)


def test_values_stored_twice_are_added():
    twice = sparse.csr_matrix(
        (np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 2])), shape=(1, 3)
    )
    assert as_rows(twice).dense(torch.tensor([0])).tolist() == [[0, 3, 0]]
    assert twice.nnz == 2, "the source is not changed"


def test_batches_have_counts_where_there_are_some(matrix):
    label = torch.arange(50)
    rows = torch.tensor([4, 2])
    plain = ResidentCells(as_rows(matrix), label).batch(rows)
    assert plain.counts is None
    both = ResidentCells(as_rows(np.log1p(matrix)), label, as_rows(matrix)).batch(rows)
    assert torch.equal(both.x, torch.log1p(both.counts))
    assert both.label.tolist() == both.index.tolist() == [4, 2]
