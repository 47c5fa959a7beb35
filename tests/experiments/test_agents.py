"""Runs by number of agents and by strength of copies, their table and figure."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from experiments import agents
from mixvae.sweeps.tables import JobRecord

if TYPE_CHECKING:
    from tests.experiments.conftest import Launcher


def record(accuracy: float, **single: float) -> JobRecord:
    metrics = {f"test/accuracy/{name}": value for name, value in single.items()}
    return JobRecord("0", [], "finished", metrics={"test/accuracy": accuracy, **metrics})


def test_single_agents_are_averaged_beside_the_vote() -> None:
    assert agents.of_single_agents(record(0.9, agent0=0.6, agent1=0.8)) == pytest.approx(0.7)
    assert agents.of_single_agents(record(0.9)) == 0.9


def test_both_settings_are_varied_and_reported(tmp_path: Path, launcher: Launcher) -> None:
    def measured(said: dict[str, str]) -> dict[str, float]:
        value = {"test/accuracy": 0.5 + 0.1 * int(said["seed"]), "seconds": 60.0}
        return value if said.get("model.num_agents") == "1" else {**value, "test/consensus": 0.7}

    launcher.metrics = measured
    given = ["--agents", "1", "2", "--strengths", "0.5", "--seeds", "0", "1"]
    given += ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path), "--overrides", "a=1"]
    assert agents.main(given) == 0
    assert launcher.commands[0][:4] == [
        "+experiment=digits_cpl",
        "seed=0,1",
        "model.num_agents=1,2",
        "a=1",
    ]
    assert "model.copy_strength=0.5" in launcher.commands[1]
    lines = (tmp_path / "digits_cpl.md").read_text().splitlines()
    assert lines[0].startswith("`python -m experiments.agents --agents 1 2")
    assert lines[0].endswith("6 runs, 6 minutes")
    assert "| 1 | 0 1 | 0.550 ± 0.071 | 0.550 ± 0.071 |  |  |" in lines
    assert "| 2 | 0 1 | 0.550 ± 0.071 | 0.550 ± 0.071 |  | 0.700 ± 0.000 |" in lines
    with (tmp_path / "digits_cpl.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == ["1", "2", "1", "2", "0.5", "0.5"]
    assert (tmp_path / "digits_cpl.png").stat().st_size > 1000
