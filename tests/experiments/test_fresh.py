"""The table of fresh splits: split 0, on which settings were chosen, is left out of the mean."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import fresh
from mixvae.sweeps.tables import JobRecord

if TYPE_CHECKING:
    from tests.experiments.conftest import Launcher


def record(accuracy: float) -> JobRecord:
    return JobRecord("0", [], "finished", metrics={"test/accuracy": accuracy})


def test_the_mean_of_fresh_splits_leaves_out_split_0() -> None:
    records = {
        ("0", "0"): record(1.0),
        ("1", "0"): record(0.8),
        ("1", "1"): record(0.7),
        ("2", "0"): record(0.9),
    }
    cells = {row[0]: row for row in fresh.rows(records)}
    assert list(cells) == ["0", "1", "2", "all but 0"]
    assert cells["1"][1:3] == ["2", "0.750 ± 0.071"]
    assert cells["all but 0"][1:3] == ["3", "0.800 ± 0.100"]
    assert cells["all but 0"][-1] == "0.800 (0.750-0.850)"
    assert [row[0] for row in fresh.rows({("", "0"): record(1.0)})] == [""]


def test_every_run_has_a_line(tmp_path: Path, launcher: Launcher) -> None:
    launcher.metrics = lambda said: {"test/accuracy": 0.1 * int(said["seed"])}
    given = ["digits_cpl", "--splits", "0", "3", "--seeds", "1", "2"]
    given += ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path)]
    assert fresh.main(given) == 0
    (command,) = launcher.commands
    assert command[1:3] == ["seed=1,2", "data.split_seed=0,3"]
    # all splits of a seed first, so that a stopped table has whole columns
    with (tmp_path / "digits_cpl.csv").open() as file:
        found = [(row["split"], row["seed"]) for row in csv.DictReader(file)]
    assert found == [("0", "1"), ("0", "2"), ("3", "1"), ("3", "2")]
