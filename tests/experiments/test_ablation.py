"""The table is the mean and deviation of finished runs; what is missing runs, or resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import ablation, single_runs
from mixvae.runs.build import build
from tests.composed import composed


def write_run(root: Path, variant: str, seed: int, status: str, accuracy: float) -> None:
    folder = ablation.run_folder(root, variant, seed)
    folder.mkdir(parents=True)
    summary = {"status": status, "test/accuracy": accuracy, "seconds": 10.0 * seed}
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.mark.parametrize("variant", ablation.VARIANTS)
def test_a_variant_of_the_richest_experiment_can_be_built(variant: str) -> None:
    words = ["+experiment=mnist_cpl", "data=digits", "run_dir=unused", *ablation.VARIANTS[variant]]
    model = build(composed(words)).model
    assert model.num_agents == (1 if variant == "one agent" else 3)


def test_only_what_is_missing_runs_and_the_table_is_of_finished_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs", "as shipped", 0, "finished", 0.9)
    write_run(tmp_path / "runs", "as shipped", 1, "finished", 0.7)
    write_run(tmp_path / "runs", "one agent", 0, "interrupted", 0.1)
    commands: list[list[str]] = []
    monkeypatch.setattr(single_runs, "launch", commands.append)
    arguments = ["digits_cpl", "--seeds", "0", "1", "--runs", str(tmp_path / "runs")]
    arguments += ["--results", str(tmp_path), "--variants", "as shipped", "one agent"]
    ablation.main([*arguments, "--overrides", "num_threads=1"])

    assert len(commands) == 2
    for seed, command in enumerate(commands):
        assert {"+experiment=digits_cpl", f"seed={seed}", "num_threads=1"} <= set(command)
        assert "model.num_agents=1" in command
    written = (tmp_path / "digits_cpl.md").read_text()
    assert "| as shipped | 0 1 | 0.800 ± 0.141 |" in written
    assert "one agent |" not in written
    assert "--variants 'as shipped' 'one agent'" in written
    assert capsys.readouterr().out.strip().endswith(written.splitlines()[-1])


def test_an_interrupted_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ablation.run_folder(tmp_path, "one agent", 3)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").touch()
    commands: list[list[str]] = []
    monkeypatch.setattr(single_runs, "launch", commands.append)
    ablation.run("digits_cpl", tmp_path, "one agent", 3, [])
    assert commands == [[f"resume={folder}"]]
