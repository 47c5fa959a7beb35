"""augmenter_agents: every variant names settings that exist, and the seed's own augmenter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from experiments.augmenter_agents import AUGMENTER, CASES, main, with_augmenter
from mixvae.cli.schema import conf_dir, register

NAMES = [(case, name) for case in CASES for name in CASES[case].variants]


@pytest.mark.parametrize(("case", "name"), NAMES)
def test_variants_and_their_augmenters_can_be_composed(case: str, name: str) -> None:
    register()
    own = with_augmenter(CASES[case].variants, Path("runs/augmenter"))[name]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        agents = compose("train", [f"+experiment={CASES[case].experiment}", *own])
        copies = compose("train", list(CASES[case].augmenter))
    assert agents.name == CASES[case].experiment
    # Copies are learned of what the agents see.
    assert copies.data == agents.data
    if agents.augmenter["_target_"].endswith("Learned"):
        assert agents.augmenter.checkpoint == "runs/augmenter"
    assert AUGMENTER not in str(agents)
    assert "," not in name  # it is a folder's too, and a comma would list values


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
