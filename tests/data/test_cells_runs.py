"""Whole runs on cells: what is refused before a folder is made, and resuming from disk."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from mixvae.data.cell_generator import generate_cells
from mixvae.data.cells_synthetic import write_cells
from mixvae.train import main

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"
SMALL = (
    "data=cells",
    "networks=mlp_small",
    "likelihood=gaussian",
    "model.num_agents=2",
    "data.batch_size=50",
    "logger.wandb=null",
    "callbacks.figures=null",
    "num_threads=1",
)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cells(generate_cells(300, 120, 3), tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.mark.parametrize("name", ["cells", "cells_synthetic"])
def test_a_config_names_its_purpose_and_repeats_the_defaults(name):
    assert (CONF / f"{name}.yaml").read_text().startswith("# purpose: ")
    cfg = OmegaConf.create({"seed": 3, "data": OmegaConf.load(CONF / f"{name}.yaml")})
    data = OmegaConf.to_container(cfg.data, resolve=True)
    parameters = inspect.signature(get_class(data.pop("_target_"))).parameters
    assert data.pop("seed") == 3
    assert data == {key: parameters[key].default for key in parameters if key != "seed"}


def test_a_run_from_disk_resumes_to_the_same_weights_and_says_how_cells_were_prepared(
    path, tmp_path, capsys
):
    command = [*SMALL, f"data.path={path}", "data.layer=counts", "data.label_key=type"]
    command += ["data.backed=true", "data.chunk_rows=16", "data.buffer_chunks=3"]
    assert main([*command, "trainer.max_epochs=3", "run_dir=whole"]) == 0
    assert "holds raw counts (whole numbers, 0 or more); log(1 + 1" in capsys.readouterr().err
    assert main([*command, "trainer.max_epochs=1", "run_dir=parts"]) == 0
    assert main(["resume=parts", "trainer.max_epochs=3"]) == 0
    whole, parts = (
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)
        for run in ("whole", "parts")
    )
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, parts["state_dict"][name]), name
    prepared = whole["CellDataModule"]
    assert (prepared["normalize"], prepared["layer"]) == ("log_cpm", "counts")
    assert len(prepared["genes"]) == 120
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert "test/accuracy" in json.dumps(summary)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.path=gone.h5ad"], "no file gone.h5ad; data.path names an .h5ad file"),
        (["data.path=cells.h5ad", "data.label_key=cluster"], "it has type, state0, library"),
        (["data.path=cells.h5ad", "data.counts_layer=umis"], "it has X, counts"),
        (["data.path=cells.h5ad", "data.batch_size=250"], "training set of cells has 216"),
    ],
)
def test_what_cannot_run_is_told_in_a_line_before_a_folder_is_made(
    settings, message, path, tmp_path, capsys
):
    assert main([*SMALL, *settings, "run_dir=run"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
