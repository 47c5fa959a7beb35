"""Several processes train one run: one folder, one voice, and what one process would measure."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

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
LONG = "trainer.max_epochs=20"
Command = Callable[..., subprocess.CompletedProcess[str]]


class Started(Protocol):
    """Starts a module in an empty folder; variables may be added."""

    def __call__(
        self, module: str, *arguments: str, folder: str = ".", **variables: str
    ) -> subprocess.Popen[str]: ...


@pytest.fixture
def start(tmp_path: Path, repo_root: Path) -> Iterator[Started]:
    """Start modules; those that still run at the end of the test are killed."""
    running: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"}

    def begin(
        module: str, *arguments: str, folder: str = ".", **variables: str
    ) -> subprocess.Popen[str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=tmp_path / folder,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = 400) -> subprocess.CompletedProcess[str]:
    """Wait for the end of a process."""
    out, errors = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


@pytest.fixture
def command(start: Started) -> Command:
    """Run a module of mixvae to its end, in an empty folder."""
    return lambda module, *arguments, **variables: ended(
        start(f"mixvae.{module}", *arguments, **variables)
    )


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        return int(server.getsockname()[1])


def torchrun(*arguments: str, nodes: int = 1, node: int = 0, port: int = 0) -> tuple[str, ...]:
    """The arguments of `start` for torchrun, with all processes of this node."""
    place = ("--nproc_per_node=2", f"--rdzv_endpoint=localhost:{port}", "--rdzv_backend=c10d")
    if nodes > 1:
        place = (f"--nnodes={nodes}", f"--node_rank={node}", "--nproc_per_node=1", place[1])
    flags = [line for line in arguments if line.startswith("--")]
    own = [line for line in arguments if not line.startswith("--")]
    return ("torch.distributed.run", *place, *flags, "-m", "mixvae.train", *own)


def slurm_task(rank: int, port: int) -> dict[str, str]:
    """What Slurm sets for one of two tasks of a step on one machine."""
    return {
        **dict.fromkeys(("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS_PER_NODE"), "2"),
        **dict.fromkeys(("SLURM_PROCID", "SLURM_LOCALID"), str(rank)),
        **{"SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost"},
        **{"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "mixvae", "MASTER_PORT": str(port)},
    }


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


def test_layers_are_pretrained_alone_by_two_processes(command: Command, tmp_path: Path) -> None:
    # Each process waits for a gradient of each parameter, also of those that rest.
    vade = ["+experiment=digits_vade", "model.layerwise_epochs=1", "model.pretrain_epochs=1"]
    vade += ["model.agents.encoder.hidden=[16]", "model.agents.decoder.hidden=[16]"]
    vade += [f"model.agents.{net}.batch_norm=none" for net in ("encoder", "decoder")]
    done = command(
        "train", *vade, *TWO, "~callbacks.figures", "trainer.max_epochs=4", "run_dir=run"
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = [float(row["train/layer_reconstruction"] or "nan") for row in rows[:4]]
    assert [error > 0 for error in errors] == [True, True, False, False]


def test_a_run_of_two_processes_in_a_slurm_job_of_one_task(
    command: Command, tmp_path: Path
) -> None:
    environment = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "mixvae", "SLURM_PROCID": "0"}
    environment |= {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_LOCALID": "0"}
    done = command("train", *DIGITS, *TWO, "trainer.max_epochs=1", "run_dir=run", **environment)
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
    assert not workers_of(tmp_path / "s" / "2")


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


def until_epoch(process: subprocess.Popen[str], epoch: int) -> None:
    """Read what a run prints until it has trained so many epochs."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"epoch {epoch}/"):
            return
    assert process.stderr is not None
    pytest.fail(process.stderr.read())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    """A run of two processes and 20 epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    arguments = [*DIGITS, *TWO, LONG, f"run_dir={folder / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-m", "mixvae.train", *arguments],
        env={**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_run_of_two_processes_that_was_stopped_goes_on_exactly(
    command: Command, start: Started, tmp_path: Path, undisturbed: Path
) -> None:
    process = start("mixvae.train", *DIGITS, *TWO, LONG, "run_dir=part")
    until_epoch(process, 3)
    process.send_signal(signal.SIGTERM)
    done = ended(process)
    assert done.returncode == 143
    assert done.stderr.count("to continue: ") == 1
    assert "rror" not in done.stderr
    resumed = command("train", "resume=part")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "part", undisturbed)


def test_a_lost_worker_process_ends_the_run_which_goes_on_exactly(
    command: Command, start: Started, tmp_path: Path, undisturbed: Path
) -> None:
    process = start("mixvae.train", *DIGITS, *TWO, LONG, "run_dir=part")
    until_epoch(process, 3)
    (worker,) = workers_of(tmp_path / "part")
    os.kill(worker, signal.SIGKILL)
    done = ended(process, 60)
    assert done.returncode == 1
    assert done.stderr.count("rror") == 1, done.stderr
    expected = "error: process 1 of the run was killed (SIGKILL); to continue: python -m"
    assert expected in done.stderr
    assert read(tmp_path / "part" / "summary.json")["status"] == "failed"
    resumed = command("train", "resume=part")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "part", undisturbed)


def test_the_other_process_goes_when_the_first_is_killed(start: Started, tmp_path: Path) -> None:
    process = start("mixvae.train", *DIGITS, *TWO, "trainer.max_epochs=500", "run_dir=a")
    until_epoch(process, 2)
    assert workers_of(tmp_path / "a")
    process.kill()
    for _ in range(200):
        if not workers_of(tmp_path / "a"):
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def workers_of(folder: Path) -> list[int]:
    """Process ids of the worker processes that a run in this folder started."""
    done = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    return [int(line.split()[0]) for line in lines if f"resume='{folder}'" in line]


def rank_of(pid: str, folder: Path) -> str | None:
    """Rank of a process that torchrun started in this folder; None for another process."""
    try:
        if Path(f"/proc/{pid}/cwd").resolve() != folder:
            return None
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    named = dict(line.partition(b"=")[::2] for line in variables)
    return named.get(b"RANK", b"").decode() or None


def test_torchrun_restarts_a_run_that_lost_a_process_and_it_ends_as_an_undisturbed_one(
    start: Started, tmp_path: Path, undisturbed: Path
) -> None:
    process = start(*torchrun("--max-restarts=1", *DIGITS, *TWO, LONG))
    until_epoch(process, 3)
    lost = [name for name in os.listdir("/proc") if rank_of(name, tmp_path) == "1"]
    os.kill(int(lost[0]), signal.SIGKILL)
    done = ended(process)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("resuming runs/") == 1
    assert done.stdout.count("run folder ") == 1
    (run,) = (tmp_path / "runs").glob("*/*")
    assert_same_run(run, undisturbed)


def test_torchrun_ends_a_run_in_order(
    command: Command, start: Started, tmp_path: Path, undisturbed: Path
) -> None:
    process = start(*torchrun(*DIGITS, *TWO, LONG, "run_dir=part"))
    until_epoch(process, 3)
    process.send_signal(signal.SIGTERM)
    done = ended(process, 60)
    assert done.stderr.count("to continue: ") == 1, done.stderr
    assert read(tmp_path / "part" / "summary.json")["status"] == "interrupted"
    resumed = ended(start(*torchrun("resume=part")))
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "part", undisturbed)


def test_two_nodes_of_torchrun_train_as_one_machine_and_restart(
    start: Started, tmp_path: Path, undisturbed: Path
) -> None:
    port, options = free_port(), (*DIGITS, *TWO[:1], *TWO[2:], LONG, "trainer.devices=1")
    options = ("--max-restarts=1", *options, "trainer.num_nodes=2", f"run_dir={tmp_path / 'run'}")
    nodes = [
        start(*torchrun(*options, nodes=2, node=node, port=port), folder=f"node{node}")
        for node in (0, 1)
    ]
    until_epoch(nodes[0], 3)
    lost = [name for name in os.listdir("/proc") if rank_of(name, tmp_path / "node1") == "1"]
    os.kill(int(lost[0]), signal.SIGKILL)
    first, second = (ended(node) for node in nodes)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.count("run folder ") == 1
    assert second.stdout == ""
    assert_same_run(tmp_path / "run", undisturbed)


def test_two_tasks_of_slurm_are_one_run(start: Started, tmp_path: Path, undisturbed: Path) -> None:
    port = free_port()
    tasks = [
        start("mixvae.train", *DIGITS, *TWO, LONG, "run_dir=run", **slurm_task(rank, port))
        for rank in (0, 1)
    ]
    first, second = (ended(task) for task in tasks)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert_said_once(first, epochs=20)
    assert second.stdout + second.stderr == ""
    assert_same_run(tmp_path / "run", undisturbed)


def test_a_loss_that_is_no_number_is_told_once(command: Command, tmp_path: Path) -> None:
    done = command("train", *DIGITS, *TWO, "model.optimizer.lr=1e30", "run_dir=a")
    assert done.returncode == 1
    assert done.stderr.count("error") == 1, done.stderr
    assert "NaN or infinite" in done.stderr
    assert read(tmp_path / "a" / "summary.json")["status"] == "failed"


def test_a_machine_with_another_run_folder_is_named(start: Started, tmp_path: Path) -> None:
    port, options = free_port(), (*DIGITS, *TWO[:1], *TWO[2:], "trainer.devices=1")
    options = (*options, "trainer.num_nodes=2", "run_dir=run")
    nodes = [
        start(*torchrun(*options, nodes=2, node=node, port=port), folder=f"node{node}")
        for node in (0, 1)
    ]
    second = ended(nodes[1], 120)
    assert second.returncode != 0
    expected = f"error in process 1: the run folder is {tmp_path / 'node1' / 'run'}"
    assert second.stderr.count(expected) == 1, second.stderr
    first = ended(nodes[0], 120)
    assert first.stderr.count("error: process 1 of the run failed; to continue") == 1


def test_a_process_that_cannot_reach_the_others_ends_within_a_minute(command: Command) -> None:
    variables = slurm_task(1, port := free_port()) | {"MASTER_ADDR": "localhost"}
    begun = time.monotonic()
    done = command("train", *DIGITS, *TWO, "run_dir=a", **variables)
    assert time.monotonic() - begun < 100
    assert done.returncode == 1
    assert f"error in process 1: process 1 cannot reach the rendezvous localhost:{port}" in (
        done.stderr
    )


def test_another_world_size_than_the_trainers_is_refused(command: Command, tmp_path: Path) -> None:
    sizes = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), "3")
    place = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost"}
    variables = {**sizes, **place, "TORCHELASTIC_RUN_ID": "a", "MASTER_PORT": str(free_port())}
    done = command("train", *DIGITS, *TWO, **variables)
    assert done.returncode == 1
    assert (
        "torchrun started 3 processes, 3 on each machine, but trainer.devices is 2" in done.stderr
    )
    assert list(tmp_path.iterdir()) == []
