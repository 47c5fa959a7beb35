"""Runs on cells of several batches: training, resuming, evaluating, and annotating other cells."""

import csv
import json

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from mixvae.annotate import annotate
from mixvae.evaluate import main as evaluate
from mixvae.train import main

SMALL = (
    "data=cells",
    "data.path=cells.h5ad",
    "data.label_key=type",
    "data.batch_key=batch",
    "data.covariates=[mito]",
    "networks=mlp_cells",
    "model.agents.encoder={num_components:6,hidden:[16,8]}",
    "model.agents.decoder.hidden=[16]",
    "likelihood=gaussian",
    "callbacks=cells",
    "callbacks.clusterability=null",
    "callbacks.state_analysis=null",
    "callbacks.figures=null",
    "model.num_agents=2",
    "model.num_categories=3",
    "data.batch_size=50",
    "logger=csv",
    "report=false",
    "num_threads=1",
)


def cells(num=240, genes=30):
    random = np.random.default_rng(0)
    kind, batch = random.integers(0, 3, num), random.integers(0, 2, num)
    mean = random.gamma(1, 3, (3, genes))[kind] * random.lognormal(0, 0.8, (2, genes))[batch]
    obs = pd.DataFrame(
        {
            "type": pd.Categorical([f"T{k}" for k in kind]),
            "batch": pd.Categorical([f"b{b}" for b in batch]),
            "mito": random.random(num),
        },
        index=[f"cell{i}" for i in range(num)],
    )
    return anndata.AnnData(random.poisson(mean).astype(np.float32), obs=obs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the cells and a run of three epochs."""
    path = tmp_path_factory.mktemp("batches")
    cells().write_h5ad(path / "cells.h5ad")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert main([*SMALL, "trainer.max_epochs=3", "run_dir=whole"]) == 0
    return path


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_a_run_reports_its_batches_and_evaluates_to_the_same(folder, capsys):
    with (folder / "whole" / "batch_composition.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["batch"] for row in rows} == {"b0", "b1"}
    assert sum(int(row["samples"]) for row in rows) == 48
    assert (folder / "whole" / "figures" / "composition_batch.png").is_file()
    summary = json.loads((folder / "whole" / "summary.json").read_text())
    assert summary["test/batch/ilisi_before"] + 0.03 < summary["test/batch/ilisi"] <= 2
    assert {"test/batch/ari_category", "test/batch/ari_label"} <= summary.keys()
    assert evaluate(["run=whole"]) == 0
    assert "the same as in training" in capsys.readouterr().out


def test_a_run_from_disk_resumes_to_the_same_weights_as_in_memory(folder):
    command = [*SMALL, "data.chunk_rows=16", "data.buffer_chunks=4", "data.backed=true"]
    assert main([*command, "trainer.max_epochs=2", "run_dir=disk"]) == 0
    assert main([*command, "trainer.max_epochs=1", "run_dir=parts"]) == 0
    assert main(["resume=parts", "trainer.max_epochs=2"]) == 0
    whole, parts, memory = (
        torch.load(folder / run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in ("disk", "parts", "whole")
    )
    for name, weight in whole.items():
        assert torch.equal(weight, parts[name]), name
    name = "agents.encoder.components.alignment.offsets"
    torch.testing.assert_close(whole[name], memory[name])


def test_annotating_takes_each_cells_own_batch_or_the_one_given(folder):
    adata, run = cells(), folder / "whole"
    own = annotate(adata, run).obsm["X_mixvae_category"]
    other = adata.copy()
    other.obs["batch"] = pd.Categorical(["b0"] * len(other))
    fixed = annotate(adata, run, batch="b0").obsm["X_mixvae_category"]
    assert np.array_equal(annotate(other, run).obsm["X_mixvae_category"], fixed)
    b0 = (adata.obs["batch"] == "b0").to_numpy()
    np.testing.assert_allclose(own[b0], fixed[b0], atol=1e-5)
    assert not np.allclose(own[~b0], fixed[~b0], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "batch", "told"),
    [
        ({"batch": ["b7"] * 240}, None, "'b7', which the run does not know; it knows b0, b1"),
        ({"batch": None}, None, "the column 'batch' of obs, which the AnnData object lacks"),
        ({"mito": None}, None, "the column 'mito' of obs, which the AnnData object lacks"),
        ({"batch": [None, *["b0"] * 239]}, None, "1 of 240 cells have no value"),
        ({}, "b11", "did you mean 'b1'"),
    ],
)
def test_cells_of_an_unknown_batch_are_refused_unless_the_average_is_taken(
    folder, change, batch, told
):
    adata = cells()
    for name, values in change.items():
        if values is None:
            del adata.obs[name]
        else:
            adata.obs[name] = pd.Categorical(values)
    with pytest.raises(ValueError, match=told):
        annotate(adata, folder / "whole", batch=batch)
    found = annotate(adata, folder / "whole", batch="average").obsm["X_mixvae_category"]
    assert np.isfinite(found).all()


def test_models_and_networks_that_cannot_take_a_batch_out_say_so(folder, capsys):
    short = ["trainer.fast_dev_run=true", "run_dir=null", "callbacks.figures=null"]
    plain = [one for one in SMALL if "agents" not in one and "mlp_cells" not in one]
    assert main([*plain, "networks=mlp_small", "callbacks.cell_figures=null", *short]) == 0
    assert "networks=mlp_cells" in capsys.readouterr().err
    unknown = ("callbacks", "model.num_agents")
    joint = [one for one in plain if not one.startswith(unknown)]
    assert main([*joint, "networks=mlp_small", "model=joint_vae", *short]) == 0
    assert "JointVAE has no covariates" in capsys.readouterr().err
