"""Sweeps on Slurm, with a cluster of scripts in the place of a real one."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra import compose
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from mixvae.cli.command import Command
from mixvae.cli.compose import compose_jobs
from mixvae.cli.errors import UsageError
from mixvae.cli.explain import explain
from mixvae.runs.folder import RunFolder
from tests.sweeps import fake_slurm
from tests.sweeps.conftest import read_csv, statuses

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
COMMANDS = ("sbatch", "srun", "sacct", "scontrol")
# What the machine of the tests has not, or does not need.
RESOURCES = (
    "hydra.launcher.gpus_per_node=2",
    "hydra.launcher.partition=short",
    "hydra.launcher.timeout_min=90",
    "hydra.launcher.cpus_per_task=3",
    "hydra.launcher.array_parallelism=5",
    "hydra.launcher.signal_delay_s=45",
)


# The options of sbatch that they become; mem, array and job-name come from our launcher's config.
ASKED = {"partition": "short", "time": "90", "cpus-per-task": "3", "gpus-per-node": "2"}
ASKED |= {"mem": "16GB", "array": "0-1%2", "signal": "USR2@45", "job-name": "mixvae"}


class Cluster(NamedTuple):
    """A cluster: what it keeps, and what a command needs to find it."""

    state: Path
    environment: dict[str, str]


@pytest.fixture
def cluster(tmp_path: Path, repo_root: Path) -> Cluster:
    """Put the cluster's commands on the PATH of a child process."""
    state, programs = tmp_path / "cluster", tmp_path / "bin"
    state.mkdir()
    programs.mkdir()
    for name in COMMANDS:
        script = programs / name
        source = Path(fake_slurm.__file__).read_text()
        script.write_text(f"#!{sys.executable}\n{source}")
        script.chmod(0o755)
    return Cluster(
        state,
        {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(repo_root),
            "FAKE_SLURM": str(state),
            "OMP_NUM_THREADS": "1",
        },
    )


@pytest.mark.slow
def test_a_sweep_on_slurm_ends_and_a_job_out_of_time_is_queued_again(
    cluster: Cluster, small: Sequence[str], tmp_path: Path
) -> None:
    watched = tmp_path / "sweep" / "0" / "metrics.csv"
    outcome = subprocess.run(
        [
            *(sys.executable, "-m", "mixvae.train", "-m", *small),
            *("hydra/launcher=slurm", *RESOURCES, "trainer.max_epochs=60", "seed=0,1"),
            "hydra.sweep.dir=sweep",
        ],
        cwd=tmp_path,
        env={**cluster.environment, "FAKE_SLURM_SIGNAL_AT": str(watched)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    logs = "".join(path.read_text() for path in tmp_path.rglob("*_log.err"))
    assert outcome.returncode == 0, outcome.stderr + logs
    assert "sweep          sweep: 2 finished" in outcome.stdout
    assert statuses(tmp_path / "sweep") == ["finished", "finished"]
    asked = fake_slurm.options((cluster.state / "script.sh").read_text())
    assert asked.items() >= ASKED.items()
    # The first job was stopped once, queued again, and went on where it was.
    assert (cluster.state / "4711_0.starts").read_text() == "2"
    assert (cluster.state / "4711_1.starts").read_text() == "1"
    provenance = RunFolder(tmp_path / "sweep" / "0").read_provenance()
    (resumed,) = provenance["resumed"]
    assert resumed["epoch"] >= 1
    assert set(map(str, range(60))) <= {row["epoch"] for row in read_csv(watched)}


def test_the_launcher_of_ours_asks_for_what_it_says(repo_root: Path) -> None:
    content = OmegaConf.load(repo_root / "conf" / "hydra" / "launcher" / "slurm.yaml")
    slurm = importlib.import_module("submitit.slurm.slurm")
    known = {**slurm._get_default_parameters(), "name": "", "timeout_min": 5, "mem_gb": 4}
    assert set(content) - {"defaults", "max_num_timeout"} <= set(known)


@pytest.mark.parametrize(
    ("option", "package"),
    [("joblib", "hydra-joblib-launcher"), ("submitit_slurm", "hydra-submitit-launcher")],
)
def test_a_launcher_that_is_not_installed_says_what_to_install(option: str, package: str) -> None:
    error = MissingConfigException("not found", f"hydra/launcher/{option}", ["basic"])
    assert (
        explain(error, [], compose)
        == f"hydra/launcher={option} needs a package: pip install {package}"
    )


def test_a_launcher_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'joblib'"):
        compose_jobs(Command(["hydra/launcher=jobib", "seed=0,1"], multirun=True))


def test_a_launcher_of_the_users_own_is_taken(tmp_path: Path) -> None:
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "hydra" / "launcher" / "ours.yaml").write_text("defaults: [basic]\n")
    words = ["hydra/launcher=ours", "seed=0,1"]
    assert len(compose_jobs(Command(words, config_dir=str(tmp_path), multirun=True))) == 2
