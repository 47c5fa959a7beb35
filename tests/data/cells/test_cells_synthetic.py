import numpy as np
import pytest
import torch

from mixvae.data import CellDataModule, SyntheticCellsDataModule
from mixvae.data.__main__ import main
from mixvae.data.cells.generator import generate_cells
from mixvae.data.cells.synthetic import to_anndata, write_cells

SMALL = {"num_cells": 300, "num_genes": 150, "num_types": 3}


@pytest.fixture
def data():
    data = SyntheticCellsDataModule(seed=0, batch_size=50, counts_layer="counts", **SMALL)
    data.setup("fit")
    return data


def test_batches_are_log_cpm_of_their_counts_with_the_type_as_label(data):
    batch = next(iter(data.train_dataloader()))
    assert batch.x.shape == batch.counts.shape == (50, 150)
    expected = torch.log1p(1e6 * batch.counts / batch.counts.sum(1, keepdim=True))
    torch.testing.assert_close(batch.x, expected)
    assert np.array_equal(batch.label, data.truth.type[batch.index])
    assert np.array_equal(batch.counts, data.truth.counts[batch.index.numpy()].toarray())


def test_splits_are_disjoint_and_share_out_every_type(data):
    loaders = [data.eval_dataloader(split) for split in ("train", "val", "test")]
    rows = [torch.cat([batch.index for batch in loader]) for loader in loaders]
    assert torch.cat(rows).sort().values.tolist() == list(range(300))
    assert all(set(data.truth.type[part]) == {0, 1, 2} for part in rows)


def test_the_seed_of_the_cells_is_its_own():
    first, second = (SyntheticCellsDataModule(seed=0, cells_seed=k, **SMALL) for k in (0, 1))
    assert (first.truth.counts != second.truth.counts).nnz > 0
    assert (first.truth.counts != SyntheticCellsDataModule(seed=5, **SMALL).truth.counts).nnz == 0


def test_a_written_file_gives_the_same_batches(data, tmp_path):
    path = tmp_path / "cells.h5ad"
    write_cells(data.truth, path)
    for layer in ("X", "counts"):  # one is log-CPM, of the other log-CPM is made
        settings = {"layer": layer, "counts_layer": "counts", "label_key": "type"}
        other = CellDataModule(seed=0, path=str(path), batch_size=50, **settings)
        other.setup()
        assert other.spec.feature_names == data.spec.feature_names
        assert other.spec.class_names == data.spec.class_names
        for ours, theirs in zip(data.train_dataloader(), other.train_dataloader(), strict=True):
            pairs = zip(ours, theirs, strict=True)
            assert all(a is b is None or torch.equal(a, b) for a, b in pairs)


def test_the_file_holds_the_truth():
    cells = generate_cells(**SMALL, num_states=2)
    adata = to_anndata(cells)
    assert np.array_equal(adata.obs["state1"], cells.state[:, 1])
    assert np.array_equal(adata.obs["type"].cat.codes, cells.type)
    for number, genes in enumerate(cells.programme_genes):
        named = adata.var["programme"].str.contains(f"type00{number}")
        assert np.array_equal(np.flatnonzero(named), genes)


def test_the_checkpoint_says_how_cells_were_prepared(data):
    state = data.state_dict()
    assert state["genes"] == list(data.spec.feature_names)
    assert (state["kind"], state["normalize"], state["target_sum"]) == ("counts", "log_cpm", 1e6)
    data.load_state_dict(state)
    with pytest.raises(
        ValueError, match=r"other unit: log of counts scaled to 10000, now .* 1e\+06;"
    ):
        data.load_state_dict({**state, "target_sum": 1e4})
    with pytest.raises(ValueError, match="other genes: 149 of them, now 150"):
        data.load_state_dict({**state, "genes": state["genes"][1:]})


def test_the_command_writes_a_file_and_never_over_another(tmp_path, capsys):
    out = tmp_path / "cells.h5ad"
    command = ["simulate-cells", f"out={out}", "num_cells=60", "num_genes=120", "num_types=2"]
    assert main(command) == 0
    assert "60 cells of 2 types" in capsys.readouterr().out
    before = out.read_bytes()
    assert main(command) == 1
    assert "exists; choose another name, or set overwrite=true" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert main([*command, "marker_strength=-1", "overwrite=true"]) == 1
    assert "marker_strength is -1.0; it must be a number, 0 or more" in capsys.readouterr().err
    assert main([*command, "marker_strength=3", "overwrite=true"]) == 0
    assert out.read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"], "nothing else is left"
