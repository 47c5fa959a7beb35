"""The table holds means and deviations over seeds; the best beta is chosen on validation data."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import hippocampus_beta_sweep, objective_bound
from experiments.beta_curves import best, curves, settings, spread, table
from experiments.modality_runs import Job
from mixvae.sweeps.tables import JobRecord


def record(probe: float, chosen_by: float, **more: float) -> JobRecord:
    metrics = {
        "test/probe_accuracy": probe,
        "val/probe_accuracy": chosen_by,
        "test/reconstruction": 100 * probe,
        **more,
    }
    return JobRecord("0", [], "finished", metrics=metrics)


RECORDS = {
    Job("mmvm", 0.1, 0): record(0.5, 0.6),
    Job("mmvm", 0.1, 1): record(0.7, 0.6),
    Job("mmvm", 0.01, 0): record(0.9, 0.5),
    Job("mmvm", 0.01, 1): record(0.9, 0.5),
    Job("ae", None, 0): record(0.4, 0.4, **{"test/coherence": 0.3}),
}


def test_the_best_beta_is_the_best_on_validation_data() -> None:
    assert settings(RECORDS) == [("mmvm", 0.01), ("mmvm", 0.1), ("ae", None)]
    assert best(RECORDS) == [("mmvm", 0.1), ("ae", None)]


def test_the_table_holds_means_and_deviations() -> None:
    assert spread(RECORDS, ("mmvm", 0.1), "test/probe_accuracy").mean == pytest.approx(0.6)
    lines = table(RECORDS, settings(RECORDS)).splitlines()
    assert lines[3].startswith("| mmvm | 0.1 | 0 1 | 0 | 0.600 ± 0.141 |")
    assert lines[4].startswith("| ae |  | 0 | 0 | 0.400 |")
    assert len({line.count("|") for line in lines}) == 1


def test_points_are_by_method_and_growing_beta() -> None:
    points = curves(RECORDS)
    assert [point.beta for point in points["mmvm"]] == [0.01, 0.1]
    assert points["mmvm"][1].cost.mean == pytest.approx(60)
    assert list(points["mmvm"][0].gains) == ["probe of the shared part: accuracy, unimodal latents"]
    assert len(points["ae"][0].gains) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_both_experiments_run_from_the_same_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--betas", "0.001", "0.1", "--seeds", "0", "--runs", "runs", "--results", "results"]
    small = ["trainer.max_epochs=1", "data.rats=[stella,superchris]", "data.simulator.num_bins=300"]
    given += ["--overrides", *small]
    assert hippocampus_beta_sweep.main([*given, "--methods", "mmvm", "ae"]) == 0
    text = (tmp_path / "results" / "beta_sweep.md").read_text()
    assert text.count("| mmvm | 0.1 |") >= 1
    assert "3 runs" in text
    assert (tmp_path / "results" / "beta_sweep.png").stat().st_size > 1000

    capsys.readouterr()
    assert objective_bound.main(given) == 0
    assert "job" not in capsys.readouterr().out
    lines = (tmp_path / "results" / "objective_bound.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:]] == ["autoencoders", "0.001", "0.1"]
    assert (tmp_path / "results" / "objective_bound.png").stat().st_size > 1000
