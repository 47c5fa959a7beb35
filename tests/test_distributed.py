"""Several processes train one run: one folder, one voice, and what one process would measure."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.slow

TWO = ("trainer=ddp_cpu", "trainer.devices=2", "num_threads=1", "logger=csv")
DIGITS = (
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "model.state_dim=2",
    "augmenter=noise",
    "~callbacks.figures",
)
RATS = (
    "+experiment=hippocampus_mmvm",
    "data.simulator.num_trials=90",
    "data.simulator.num_bins=300",
    "trainer.limit_train_batches=3",
    "~callbacks.figures",
)
CELLS = (
    "data=cells_synthetic",
    "data.num_cells=303",
    "data.num_genes=100",
    "data.num_types=3",
    "data.batch_size=50",
    "likelihood=gaussian",
    *DIGITS,
)
MERGING = (
    "callbacks=merging_to_ten",
    "callbacks.merging.after_epochs=1",
    "callbacks.merging.num_categories=4",
    "~callbacks.state_analysis",
    *DIGITS,
)
RUNS = {"digits": DIGITS, "rats": RATS, "cells": CELLS, "merging": MERGING}
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(repo_root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def command(tmp_path: Path, environment: dict[str, str]) -> Command:
    """Run a module of mixvae to its end, in an empty folder."""

    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"mixvae.{module}", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
        )

    return run


def assert_said_once(done: subprocess.CompletedProcess[str], epochs: int, runs: int = 1) -> None:
    """Nothing is told twice, and nothing of the processes' own."""
    said = done.stdout.splitlines()
    assert len([line for line in said if line.startswith("epoch ")]) == epochs * runs, done.stdout
    assert len([line for line in said if line.startswith("run folder")]) == runs
    warned = done.stderr.splitlines()
    assert len(warned) == len(set(warned)), done.stderr
    assert all(line.startswith(("WARNING: ", "INFO: ")) for line in warned), done.stderr


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.mark.parametrize(("name", "options"), RUNS.items())
def test_a_run_of_two_processes_is_one_run_and_measures_what_one_does(
    name: str, options: tuple[str, ...], command: Command, tmp_path: Path
) -> None:
    done = command("train", *options, *TWO, "trainer.max_epochs=2", "run_dir=run")
    assert done.returncode == 0, done.stderr
    assert_said_once(done, epochs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    summary = read(tmp_path / "run" / "summary.json")
    assert summary["status"] == "finished"
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    tables = {path.name: path.read_text() for path in (tmp_path / "run").glob("predictions*.csv")}
    assert tables
    again = command("evaluate", "run=run")
    assert again.returncode == 0, again.stderr
    one = read(tmp_path / "run" / "evaluation.json")
    measured = [key for key in summary if key.startswith("test/")]
    assert len(measured) > 5
    largest = max(abs(summary[key] - one[key]) / max(1.0, abs(one[key])) for key in measured)
    print(f"{name}: largest difference of {len(measured)} test metrics: {largest:.1e}")
    assert largest < 1e-5
    for file, text in tables.items():
        now = (tmp_path / "run" / file).read_text()
        # Each sample once, in the same order, whatever the processes' shares were.
        assert [row[: row.find(",")] for row in text.splitlines()] == [
            row[: row.find(",")] for row in now.splitlines()
        ]


def test_a_run_of_two_processes_in_a_slurm_job_of_one_task(
    command: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment |= {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "mixvae", "SLURM_PROCID": "0"}
    environment |= {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_LOCALID": "0"}
    done = command("train", *DIGITS, *TWO, "trainer.max_epochs=1", "run_dir=run")
    assert done.returncode == 0, done.stderr
    assert_said_once(done, epochs=1)
    assert read(tmp_path / "run" / "summary.json")["status"] == "finished"


def test_a_search_prunes_runs_of_two_processes(command: Command, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "space: {model.optimizer.lr: {type: categorical, choices: [0.0, 0.01]}}\n"
        "metric: val/reconstruction\nnum_trials: 3\npruner_trials: 1\nsampler: random\n"
    )
    options = [*DIGITS, *TWO, "trainer.max_epochs=3"]
    done = command("sweep", "search=own.yaml", "out=s", *options)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "s" / "search.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # The last learns nothing, and is worse than the others after one epoch.
    assert [row["model.optimizer.lr"] for row in rows] == ["0.01", "0.01", "0.0"]
    assert [row["status"] for row in rows] == ["finished", "finished", "pruned"]
    assert not joined(tmp_path / "s" / "2")


def test_a_sweep_of_runs_of_two_processes(command: Command, tmp_path: Path) -> None:
    options = [*DIGITS, *TWO, "trainer.max_epochs=1", "hydra.sweep.dir=sweep"]
    done = command("train", "-m", *options, "seed=0,1", "model.learning_rate=1.0,-1.0")
    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if line.startswith("job ")][3:]
    folders = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert folders == ["0", "1", "2", "3"]
    states = [read(tmp_path / "sweep" / name / "summary.json")["status"] for name in folders]
    assert states == ["finished", "failed", "finished", "failed"]
    assert len(re.findall("^epoch ", done.stdout, re.MULTILINE)) == 2
    # The first job of a sweep leaves nothing that the second would stumble over.
    alone = command("train", *DIGITS, *TWO, "trainer.max_epochs=1", "seed=1", "run_dir=alone")
    assert alone.returncode == 0, alone.stderr
    assert_same_run(tmp_path / "alone", tmp_path / "sweep" / "2")


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    first, second = (
        torch.load(each / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for each in (one, other)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_of_two_processes_that_was_stopped_goes_on_exactly(
    command: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    options = [*DIGITS, *TWO, "trainer.max_epochs=40"]
    whole = command("train", *options, "run_dir=whole")
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", "mixvae.train", *options, "run_dir=part"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 3/"):
            break
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.count("to continue: ") == 1
    assert "rror" not in errors
    resumed = command("train", "resume=part")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "part", tmp_path / "whole")


def test_the_other_process_goes_when_the_first_is_killed(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mixvae.train",
            *DIGITS,
            *TWO,
            "trainer.max_epochs=500",
            "run_dir=a",
        ],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.kill()
    process.wait()
    process.stdout.close()
    for _ in range(100):
        if not joined(tmp_path / "a"):
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def joined(folder: Path) -> list[str]:
    """The further processes of the run in this folder."""
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if f"joining {folder}" in line]


def test_a_loss_that_is_no_number_is_told_once(command: Command, tmp_path: Path) -> None:
    done = command("train", *DIGITS, *TWO, "model.optimizer.lr=1e30", "run_dir=a")
    assert done.returncode == 1
    assert done.stderr.count("error") == 1, done.stderr
    assert "NaN or infinite" in done.stderr
    assert read(tmp_path / "a" / "summary.json")["status"] == "failed"


def test_a_process_that_torchrun_started_is_refused(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mixvae.train", *DIGITS, *TWO],
        cwd=tmp_path,
        env={**environment, "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert "start one instead" in done.stderr
    assert list(tmp_path.iterdir()) == []
