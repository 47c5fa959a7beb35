from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mixvae import sweep
from mixvae.cli.config_file import load_config
from mixvae.files import write_json
from mixvae.runs.folder import RunFolder, claimed
from mixvae.sweeps.jobs import record_failure
from mixvae.sweeps.tables import JobRecord, aggregate, read_jobs, varying_keys
from tests.sweeps.conftest import Interrupted, read_csv

Train = Callable[..., Any]
ONE_EPOCH = ("trainer.max_epochs=1", "hydra.sweep.dir=sweep")


def written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_jobs_that_differ_in_the_seed_alone_are_one_row() -> None:
    jobs = [
        JobRecord(str(n), ["model.tau=1", f"seed={n}"], "finished", "", {"val/loss": value})
        for n, value in enumerate([1.0, 3.0])
    ]
    jobs.append(JobRecord("2", ["model.tau=2", "seed=0"], "finished", "", {"val/loss": 7.0}))
    jobs.append(JobRecord("3", ["model.tau=2", "seed=1"], "failed", "NaN", {"val/loss": 100.0}))
    first, second = aggregate(jobs)
    assert (first.varied, first.seeds) == ({"model.tau": "1"}, ["0", "1"])
    assert first.mean("val/loss") == 2.0
    assert first.deviation("val/loss") == pytest.approx(math.sqrt(2))
    # A failed job counts neither in the mean nor as a seed.
    assert (second.mean("val/loss"), second.seeds) == (7.0, ["0"])
    assert math.isnan(second.deviation("val/loss"))
    assert math.isnan(second.mean("absent"))


def test_the_settings_that_vary_name_a_row() -> None:
    assert varying_keys([{"a": "1", "b": "1"}, {"a": "1", "b": "2"}]) == ["b"]
    assert varying_keys([{"a": "1", "seed": "0"}, {"a": "1", "seed": "1"}]) == []


def test_a_sweep_leaves_tables_and_a_figure(
    train: Train, small: Sequence[str], tmp_path: Path
) -> None:
    outcome = train("-m", *small, *ONE_EPOCH, "model.tau=1,2", "seed=0,1")
    assert outcome.status == 0, outcome.err
    assert "sweep          sweep: 4 finished" in outcome.out
    rows = read_csv(tmp_path / "sweep" / "sweep.csv")
    assert [(row["job"], row["model.tau"], row["seed"], row["status"]) for row in rows] == [
        ("0", "1", "0", "finished"),
        ("1", "1", "1", "finished"),
        ("2", "2", "0", "finished"),
        ("3", "2", "1", "finished"),
    ]
    losses = [float(row["val/loss"]) for row in rows]
    means = read_csv(tmp_path / "sweep" / "aggregate.csv")
    assert [row["seeds"] for row in means] == ["0 1", "0 1"]
    assert float(means[0]["val/loss mean"]) == pytest.approx(sum(losses[:2]) / 2, rel=1e-4)
    assert (tmp_path / "sweep" / "sweep.png").stat().st_size > 1000
    # The tables can be made again from the jobs alone.
    before = (tmp_path / "sweep" / "sweep.csv").read_text()
    (tmp_path / "sweep" / "sweep.csv").unlink()
    assert sweep.main([f"collect={tmp_path / 'sweep'}"]) == 0
    assert (tmp_path / "sweep" / "sweep.csv").read_text() == before


def test_a_failed_job_is_recorded_and_runs_again(
    train: Train, small: Sequence[str], tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    outcome = train("-m", *small, *ONE_EPOCH, "model.optimizer.lr=1e30,1e-3")
    assert outcome.status == 1
    assert "1 failed, 1 finished" in outcome.out
    assert "to go on: python -m mixvae.train -m sweep.resume=sweep" in outcome.err
    failed, finished = read_csv(folder / "sweep.csv")
    assert (failed["status"], finished["status"]) == ("failed", "finished")
    assert "NaN or infinite" in failed["error"]
    assert "Traceback" not in outcome.err
    kept = written(folder / "1")
    again = train("-m", "sweep.resume=sweep")
    assert again.status == 1
    assert (folder / "0_failed" / "summary.json").is_file()
    assert "(finished before)" in again.out
    assert written(folder / "1") == kept
    assert [job.name for job in read_jobs(folder)] == ["0", "1"]


def test_a_job_that_fails_before_its_run_begins_is_recorded_too(
    train: Train, small: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    outcome = train("-m", *small, *ONE_EPOCH, "model.num_categories=1,10")
    assert outcome.status == 1
    assert "Traceback (most recent call last)" in outcome.err
    (failed, finished) = read_jobs(tmp_path / "sweep")
    assert (failed.status, finished.status) == ("failed", "finished")
    assert failed.error == "model.num_categories must be at least 2, got 1"
    assert failed.varied["model.num_categories"] == "1"


def test_a_stopped_sweep_goes_on_to_the_same_end(
    train: Train, small: Sequence[str], tmp_path: Path, interrupted: Interrupted
) -> None:
    command = ["-m", *small, "trainer.max_epochs=2", "seed=0,1"]
    assert train(*command, "hydra.sweep.dir=whole").status == 0
    with interrupted():
        assert train(*command, "hydra.sweep.dir=part").status == 130
    assert RunFolder(tmp_path / "part" / "0").status == "interrupted"
    assert not (tmp_path / "part" / "1").exists()
    outcome = train(*command, "hydra.sweep.dir=part", "sweep.resume=part")
    assert outcome.status == 0, outcome.err
    for job in "01":
        metrics = [
            (tmp_path / name / job / "metrics.csv").read_text() for name in ("whole", "part")
        ]
        assert metrics[0] == metrics[1]
    tables = [read_csv(tmp_path / name / "aggregate.csv")[0] for name in ("whole", "part")]
    for row in tables:
        del row["seconds mean"], row["seconds sd"]
    assert tables[0] == tables[1]


def test_a_sweep_in_a_folder_of_any_name(
    train: Train, small: Sequence[str], tmp_path: Path
) -> None:
    sub = "hydra.sweep.subdir=s${seed}"
    settings = (*small, "trainer.max_epochs=1", "seed=0", sub)
    outcome = train("-m", *settings, 'hydra.sweep.dir="it\'s, ü"')
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "it's, ü" / "sweep.csv").is_file()
    assert (tmp_path / "it's, ü" / "s0" / "summary.json").is_file()


@pytest.mark.slow
def test_jobs_that_another_process_runs_are_left_alone(
    train: Train, small: Sequence[str], tmp_path: Path
) -> None:
    """A second `sweep.resume` of a sweep that is still running."""
    assert train("-m", *small, *ONE_EPOCH, "seed=0,1,2").status == 0
    for job, status in enumerate(("running", "failed", "finished")):
        folder = RunFolder(tmp_path / "sweep" / str(job))
        write_json(folder.summary, {**folder.read_summary(), "status": status})
    held = [tmp_path / "sweep" / job for job in "01"]
    before = [written(folder) for folder in held]
    with claimed(RunFolder(held[0])), claimed(RunFolder(held[1])):
        outcome = train("-m", "sweep.resume=sweep")
    assert outcome.status == 1
    assert "job 0: another process runs it" in outcome.out
    assert "sweep          sweep: 1 failed, 1 finished, 1 running" in outcome.out
    assert "1 of 3 are run by another process" in outcome.err
    assert [written(folder) for folder in held] == before
    assert not (tmp_path / "sweep" / "1_failed").exists()
    # When they are free, the interrupted one goes on and the failed one begins again.
    again = train("-m", "sweep.resume=sweep")
    assert again.status == 0, again.err
    assert (tmp_path / "sweep" / "1_failed" / "checkpoints").is_dir()
    assert "resuming sweep/0 at epoch 2" in again.out


def test_a_failure_is_not_recorded_over_another_process(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_json(folder.summary, {"status": "running"})
    with claimed(folder):
        record_failure(folder, [], "it did not work")
    assert folder.status == "running"
    record_failure(folder, ["seed=1"], "it did not work")
    assert folder.status == "failed"


@pytest.mark.slow
def test_a_sweep_of_a_run_s_config_goes_on_with_that_config(
    train: Train, run: Callable[..., Path], tmp_path: Path, interrupted: Interrupted
) -> None:
    run("before", "model.num_agents=1")
    config = ("--config-dir", "before", "--config-name", "config")
    with interrupted():
        assert train("-m", *config, "seed=0,1", "hydra.sweep.dir=part").status == 130
    others = train("-m", "--config-dir", ".", "sweep.resume=part")
    assert others.status == 2
    assert f"adds --config-dir={tmp_path}; say only -m sweep.resume=part" in others.err
    outcome = train("-m", "sweep.resume=part")
    assert outcome.status == 0, outcome.err
    for job in "01":
        config_file = tmp_path / "part" / job / "config.yaml"
        assert load_config(config_file).model.num_agents == 1
    again = train("-m", *config, "seed=0,1", "hydra.sweep.dir=part", "sweep.resume=part")
    assert again.status == 0, again.err
    assert again.out.count("(finished before)") == 2


WRONG = {
    "no sweep": (("-m", "sweep.resume=empty"), "the folder holds no sweep"),
    "a run": (("-m", "sweep.resume=single"), "is a run, not a sweep; use resume= without -m"),
    "quoted": (("-m", "sweep.resume='no where'"), "sweep.resume=no where: the folder does not"),
    "other jobs": (("-m", "sweep.resume=begun", "seed=0,1,2"), "adds seed=0,1,2 and leaves out"),
    "a run's folder": (
        ("-m", "seed=0,1", "run_dir='s${seed}'"),
        "run_dir=s0 is the folder of one run, but -m makes one for each job",
    ),
    "nested jobs": (("-m", "seed=0,1", "hydra.sweep.subdir=s/${seed}"), "side by side"),
    "jobs in one folder": (("-m", "seed=0,1", "hydra.sweep.subdir=all"), "under its own name"),
    "interpolated": (("-m", "hydra.sweep.dir='x/${name}'", "seed=0,1"), "write the sweep's folder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_sweep_is_refused_and_nothing_changes(
    name: str, train: Train, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "config.yaml").touch()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "overrides.txt").write_text("seed=0,1\n")
    before = written(tmp_path)
    arguments, message = WRONG[name]
    outcome = train(*arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert written(tmp_path) == before
