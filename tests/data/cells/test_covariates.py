"""Batches and covariates of cells: their values, and every kind of bad column."""

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from mixvae.data import CellDataModule

NUM_CELLS = 60


def make(**columns):
    counts = np.random.default_rng(0).poisson(2.0, (NUM_CELLS, 12)).astype(np.float32)
    own = {
        "type": pd.Categorical(["a", "b", "c"] * 20),
        "donor": pd.Categorical(["d1", "d2"] * 30),
        "plate": np.repeat([3, 5], 30),
        "mito": np.linspace(0, 5, NUM_CELLS),
    }
    obs = pd.DataFrame({**own, **columns}, index=[f"cell{i}" for i in range(NUM_CELLS)])
    return anndata.AnnData(counts, obs=obs)


def load(tmp_path, adata=None, **settings):
    (make() if adata is None else adata).write_h5ad(tmp_path / "cells.h5ad")
    path = str(tmp_path / "cells.h5ad")
    data = CellDataModule(**{"seed": 0, "path": path, "batch_size": 10, **settings})
    data.setup("fit")
    return data


def test_batches_hold_the_batch_first_then_classes_and_standard_scores(tmp_path, backed):
    settings = {"batch_key": "donor", "covariates": ["type", "mito"], "backed": backed}
    data = load(tmp_path, **settings)
    names = [one.name for one in data.spec.covariates]
    assert names == ["donor=d1", "donor=d2", "type=a", "type=b", "type=c", "mito"]
    assert [one.is_batch for one in data.spec.covariates] == [True] * 2 + [False] * 4
    batch = next(iter(data.train_dataloader()))
    assert batch.covariates.shape == (10, 6)
    rows = batch.index.numpy()
    assert torch.equal(batch.covariates[:, :2], torch.eye(2)[rows % 2])
    assert torch.equal(batch.covariates[:, 2:5], torch.eye(3)[rows % 3])
    train = torch.cat([one.covariates for one in data.eval_dataloader("train")])
    assert train[:, 5].mean().abs() < 1e-5
    assert train[:, 5].std(correction=0) == pytest.approx(1, abs=1e-5)
    assert [one.mean for one in data.spec.covariates] == pytest.approx(
        train.mean(0).tolist(), abs=1e-5
    )


def test_numbers_are_classes_where_they_are_categories(tmp_path, backed):
    adata = make(lane=pd.Categorical([1, 2, 3] * 20))
    data = load(tmp_path, adata, covariates="lane", backed=backed)
    assert [one.name for one in data.spec.covariates] == ["lane=1", "lane=2", "lane=3"]


def test_whole_numbers_name_batches_and_without_a_key_there_are_no_covariates(tmp_path):
    data = load(tmp_path, batch_key="plate")
    assert [one.name for one in data.spec.covariates] == ["plate=3", "plate=5"]
    data = load(tmp_path)
    assert data.spec.covariates == ()
    assert next(iter(data.train_dataloader())).covariates is None


def holed(values, missing=np.nan):
    values = np.array(values, dtype=object if missing is None else None)
    values[3] = missing
    return values


@pytest.mark.parametrize(
    ("columns", "settings", "told"),
    [
        ({}, {"batch_key": "donr"}, "did you mean 'donor'"),
        ({}, {"batch_key": "donor", "covariates": ["mitto"]}, "did you mean 'mito'"),
        ({}, {"covariates": ["mito", "mito"]}, "'mito', which is named already"),
        ({}, {"batch_key": "donor", "covariates": ["donor"]}, "'donor', which is named already"),
        (
            {"one": ["single"] + ["x"] * 59},
            {"batch_key": "one"},
            "batch_key is 'one', but 1 of its 2 values have fewer than 2 .*: single",
        ),
        ({"hole": holed(np.arange(60.0))}, {"covariates": ["hole"]}, "1 of 60 cells have no value"),
        (
            {"hole": pd.Categorical(holed(["u", "v"] * 30, None))},
            {"batch_key": "hole"},
            "1 of 60 cells have no value",
        ),
        ({"far": np.r_[np.inf, np.zeros(59)]}, {"covariates": ["far"]}, "infinite"),
        ({"same": np.ones(60)}, {"covariates": ["same"]}, "the same in all training cells"),
    ],
)
def test_a_bad_column_is_named(tmp_path, columns, settings, told):
    with pytest.raises(ValueError, match=told):
        load(tmp_path, make(**columns), **settings)


def test_batches_that_are_labels_and_a_single_batch_are_warned_of(tmp_path, caplog):
    load(tmp_path, batch_key="type", label_key="type")
    assert "batch_key and label_key are both 'type'" in caplog.text
    caplog.clear()
    data = load(tmp_path, make(lab=["one"] * 60), batch_key="lab")
    assert "all cells are of 'one'" in caplog.text
    assert data.spec.covariates == ()


def test_resuming_with_other_batches_is_refused(tmp_path):
    state = load(tmp_path, batch_key="donor").state_dict()
    other = load(tmp_path, batch_key="plate")
    with pytest.raises(ValueError, match="other covariates: donor=d1 donor=d2, now plate=3"):
        other.load_state_dict(state)
