"""Whole runs in double precision: what callbacks give a model is of its own kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mixvae.train import main

DIGITS = (
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "+callbacks.figures.max_states=1",
)
MERGED = (
    "data=cells_synthetic",
    "data.num_cells=300",
    "data.num_genes=100",
    "data.num_types=3",
    "data.batch_size=50",
    "likelihood=gaussian",
    "callbacks=merging_to_ten",
    "callbacks.merging.after_epochs=1",
    "callbacks.merging.num_categories=4",
    "model.num_agents=2",
    "callbacks.figures=null",
)
ARRAYS = (
    "+experiment=multimodal_mmvm",
    "data.modalities={a: a.npy, b: b.npy}",
    "data.labels=y.npy",
)


@pytest.mark.slow  # the fast golden runs are of double precision as well
@pytest.mark.parametrize("options", [DIGITS, MERGED, ARRAYS], ids=["digits", "cells", "arrays"])
def test_a_run_in_double_precision_ends_with_all_its_measures(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    label = np.arange(400) % 3
    np.save("y.npy", label)
    for name in "ab":
        noise = np.random.default_rng(0).normal(size=(400, 4))
        np.save(f"{name}.npy", (noise + label[:, None]).astype(np.float32))
    short = ("trainer.max_epochs=2", "trainer.precision=64-true", "num_threads=1", "logger=csv")
    assert main([*options, *short, "run_dir=run"]) == 0
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["status"] == "finished"
    assert np.isfinite(summary["test/reconstruction"])
