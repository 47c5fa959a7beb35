"""augmenter_agents: every variant names settings that exist, and the seed's own augmenter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from experiments.augmenter_agents import AUGMENTER, CASES, main, with_augmenter
from experiments.cells_ablation import VARIANTS
from mixvae.cli.schema import conf_dir, register


def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", list(overrides))


def test_variants_and_their_augmenters_can_be_composed() -> None:
    for case in CASES.values():
        copies = composed(f"+experiment={case.augmenter}", *case.augmenter_overrides)
        for name, own in with_augmenter(case.variants, Path("runs/augmenter")).items():
            agents = composed(f"+experiment={case.experiment}", *own)
            assert agents.name == case.experiment
            # Copies are learned of what the agents see.
            assert copies.data == agents.data
            if agents.augmenter["_target_"].endswith("Learned"):
                assert agents.augmenter.checkpoint == "runs/augmenter"
            assert AUGMENTER not in str(agents)
            assert "," not in name  # it is a folder's too, and a comma would list values


def test_variants_of_the_ablation_of_cells_can_be_composed() -> None:
    for own in VARIANTS.values():
        assert composed("+experiment=cells_synthetic_cpl", *own).name == "cells_synthetic_cpl"


def test_finished_runs_are_tabulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = '{"status": "finished", "test/accuracy": 0.5, "seconds": 9}'
    for name in ("augmenter", "no copies", "noise"):
        folder = tmp_path / "digits" / name.replace(" ", "_") / "seed3"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(summary)
    folders = ("--runs", str(tmp_path), "--results", str(tmp_path / "results"))
    main(["digits", "--seeds", "3", "--variants", "noise", "no copies", *folders])
    lines = (tmp_path / "results" / "digits.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:]] == ["no copies", "noise"]
