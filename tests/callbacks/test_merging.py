"""Merging within a run: it happens once, is recorded, survives an interruption; refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mixvae.callbacks.merging import Merging
from mixvae.train import main

SMALL = (
    "callbacks=merging",
    "callbacks.merging.after_epochs=2",
    "callbacks.merging.num_categories=4",
    "model.num_categories=8",
    "model.information_weight=100",
    "model.state_dim=2",
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "trainer.max_epochs=4",
    "num_threads=1",
    "logger=csv",
    "data.batch_size=600",
    "~callbacks.figures",
    "~callbacks.state_analysis",
    "~callbacks.clusterability",
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_a_run_merges_once_and_ends_with_the_categories_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, f"run_dir={tmp_path / 'run'}"]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test/kept_categories"] == 4
    state = weights(tmp_path / "run")
    assert state["category_mask"].tolist() == [True] * 4 + [False] * 4
    assert state["merged_into"].max() == 3
    assert capsys.readouterr().err.count("8 categories into 4") <= 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("callbacks.merging.num_categories=9", "is 9, but the model has 8 only"),
        ("callbacks.merging.num_categories=1", "num_categories must be 2 or more, got 1"),
        ("callbacks.merging.after_epochs=0", "after_epochs must be 1 or more, got 0"),
        ("callbacks.merging.max_overlap=1.0", "max_overlap must lie between 0 and 1, got 1"),
    ],
)
def test_what_cannot_be_merged_is_refused(
    override: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, override, f"run_dir={tmp_path / 'run'}"]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_pruning_before_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early = (
        "callbacks=pruning_cells",
        "trainer.max_epochs=30",
        "callbacks.merging.after_epochs=20",
    )
    kept = [one for one in SMALL if "callbacks" not in one and "max_epochs" not in one]
    assert main([*kept, *early, f"run_dir={tmp_path / 'run'}"]) != 0
    assert "is 20, but pruning begins after 10 epochs already" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_whether_it_is_over_is_part_of_the_checkpoint() -> None:
    first, second = Merging(after_epochs=2), Merging(after_epochs=2)
    first._done = True
    second.load_state_dict(first.state_dict())
    assert second._done
