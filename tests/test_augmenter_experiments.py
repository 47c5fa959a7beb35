"""Training an augmenter, training agents with it, and losing it afterwards: whole runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mixvae import evaluate
from mixvae.engine.checkpoint_io import load_checkpoint
from mixvae.train import main

SHRUNK = (
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=3",
    "model.network.hidden=[16]",
    "model.discriminator.hidden=[16]",
    "logger=csv",
)
WITHOUT_FIGURES = (*SHRUNK, "report=false", "~callbacks.figures")
AGENTS = (
    "num_threads=1",
    "logger=csv",
    "report=false",
    "~callbacks.figures",
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "trainer.max_epochs=1",
)
CELLS = (
    "data=cells_synthetic",
    "data.num_cells=300",
    "data.num_genes=300",
    "data.num_types=3",
    "data.batch_size=50",
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def summary(folder: str) -> dict:
    return json.loads((Path(folder) / "summary.json").read_text())


@pytest.mark.parametrize(("experiment", "own"), [("digits", ()), ("cells", CELLS)])
def test_an_augmenter_s_experiment_runs_to_a_finished_run_folder(
    experiment: str, own: tuple[str, ...]
) -> None:
    name = f"{experiment}_augmenter"
    assert main([f"+experiment={name}", *SHRUNK, *own, "run_dir=run"]) == 0
    result = summary("run")
    assert result["status"] == "finished"
    assert result["name"] == name
    assert {"test/copy_distance", "test/neighbour_distance", "test/shift_ratio"} <= set(result)
    assert 0 <= result["test/discriminator_accuracy"] <= 1
    for picture in ("learning_curves", "copies"):
        assert (Path("run/figures") / f"{picture}.png").stat().st_size > 1000
    assert evaluate.main(["run=run"]) == 0
    again = json.loads(Path("run/evaluation.json").read_text())
    assert again["test/copy_distance"] == result["test/copy_distance"]


def test_agents_train_with_it_and_are_tested_when_it_is_gone() -> None:
    assert main(["+experiment=digits_augmenter", *WITHOUT_FIGURES, "run_dir=aug"]) == 0
    use = ["augmenter=learned", "augmenter.checkpoint=aug", "augmenter.scale=2"]
    assert main([*AGENTS, *use, "run_dir=agents"]) == 0
    weights = load_checkpoint(Path("agents/checkpoints/best.ckpt"))["state_dict"]
    assert not [name for name in weights if "augmenter" in name]
    shutil.rmtree("aug")
    shutil.move("agents", "moved")
    assert evaluate.main(["run=moved"]) == 0
    again = json.loads(Path("moved/evaluation.json").read_text())
    assert again["test/accuracy"] == summary("moved")["test/accuracy"]
    assert main(["resume=moved", "trainer.max_epochs=2"]) == 0
    assert summary("moved")["epochs"] == 2


def test_a_resumed_augmenter_equals_one_that_was_never_stopped() -> None:
    options = ["+experiment=digits_augmenter", *WITHOUT_FIGURES]
    assert main([*options, "run_dir=whole"]) == 0
    assert main([*options, "trainer.max_epochs=1", "run_dir=parts"]) == 0
    assert main(["resume=parts", "trainer.max_epochs=2"]) == 0
    whole, parts = (
        load_checkpoint(Path(folder) / "checkpoints" / "last.ckpt") for folder in ("whole", "parts")
    )
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name
    assert whole["augmenter"] == parts["augmenter"]


def test_an_augmenter_of_other_data_is_refused_before_there_is_a_run_folder(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["+experiment=digits_augmenter", *WITHOUT_FIGURES, "run_dir=aug"]) == 0
    use = ["augmenter=learned", "augmenter.checkpoint=aug", "likelihood=gaussian"]
    assert main([*CELLS, *use, "run_dir=run"]) == 1
    assert "was trained on digits with samples of shape (1, 8, 8)" in capfd.readouterr().err
    assert not Path("run").exists()


def test_an_augmenter_of_cells_in_another_unit_is_refused_before_there_is_a_run_folder(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["+experiment=cells_augmenter", *WITHOUT_FIGURES, *CELLS, "run_dir=aug"]) == 0
    use = [*AGENTS, *CELLS, "augmenter=learned", "augmenter.checkpoint=aug", "likelihood=gaussian"]
    assert main([*use, "data.target_sum=1e4", "run_dir=run"]) == 1
    assert "they are in another unit" in capfd.readouterr().err
    assert not Path("run").exists()
    assert main([*use, "run_dir=run"]) == 0
