"""A whole run on cells from disk: the preparation in its checkpoint, the command that follows."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from mixvae.data import CellDataModule
from mixvae.data.cells.generator import generate_cells
from mixvae.data.cells.synthetic import write_cells
from mixvae.runs.closing import next_command
from mixvae.train import main

SMALL = (
    "data=cells",
    "networks=mlp_small",
    "likelihood=gaussian",
    "model.num_agents=2",
    "data.batch_size=50",
    "logger=csv",
    "report=false",
    "callbacks.figures=null",
    "num_threads=1",
)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cells(generate_cells(300, 120, 3), tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_a_run_from_disk_says_how_cells_were_prepared(path, tmp_path, capsys):
    """That it resumes exactly is proven in tests/runs/test_batches.py."""
    command = [*SMALL, f"data.path={path}", "data.layer=counts", "data.label_key=type"]
    command += ["data.backed=true", "data.chunk_rows=16", "data.buffer_chunks=3"]
    assert main([*command, "trainer.max_epochs=1", "run_dir=whole"]) == 0
    assert "holds raw counts (whole numbers, 0 or more); log(1 + 1" in capsys.readouterr().err
    last = tmp_path / "whole" / "checkpoints" / "last.ckpt"
    prepared = torch.load(last, weights_only=True)["CellDataModule"]
    assert (prepared["normalize"], prepared["layer"]) == ("log_cpm", "counts")
    assert len(prepared["genes"]) == 120
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert "test/accuracy" in json.dumps(summary)


@pytest.mark.parametrize(
    ("own", "modality", "told"),
    [
        ("a.h5ad", None, "data.path=a.h5ad out=annotated.h5ad"),
        ("a.h5mu", "rna", "data.path=a.h5mu data.modality=rna out=annotated.h5mu"),
        ("a.zarr", "rna", "data.path=a.zarr data.modality=rna out=annotated.h5ad"),
        (["a.h5ad", "b.h5ad"], None, "'data.path=[a.h5ad,b.h5ad]' out=annotated"),
    ],
)
def test_the_next_command_annotates_what_the_run_was_trained_on(path, own, modality, told):
    data = CellDataModule(path=str(path), seed=0, batch_size=50)
    run = SimpleNamespace(
        folder=SimpleNamespace(path=path.parent / "runs"),
        parts=SimpleNamespace(data=data),
        cfg=SimpleNamespace(data={"path": own, "modality": modality}),
    )
    assert next_command(run) == f"python -m mixvae.annotate run=runs {told}"
