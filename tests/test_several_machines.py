"""Every command of docs/several_machines.md runs, on one machine, shrunk to seconds."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "several_machines.md"
SHRUNK = (
    *("model.agents.encoder.hidden=[16]", "model.agents.decoder.hidden=[16]"),
    *("model.state_dim=1", "trainer.max_epochs=2", "trainer.limit_train_batches=2"),
    *("num_threads=1", "logger=csv", "~callbacks.figures"),
)


def blocks() -> list[list[str]]:
    """The lines of each code block."""
    found = re.findall(r"^```\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in found]


def processes_of(line: str, folder: Path, port: int) -> list[tuple[list[str], dict[str, str]]]:
    """The processes to start for one line, and their variables."""
    line = line.replace("trainer=ddp ", "trainer=ddp_cpu ").replace("$HOME", str(folder))
    line = line.replace("first.machine:29500", f"localhost:{port}").replace("/shared", str(folder))
    if "num_nodes=2" in line:
        line = re.sub(r"(devices|nproc_per_node)=\d", r"\1=1", line)
    program, *words = shlex.split(line)
    own = ("trainer.max_epochs=3",) if "resume=" in line else SHRUNK
    if program == "torchrun":
        return [([sys.executable, "-m", "torch.distributed.run", *words, *own], {})]
    if program == "python":
        return [([sys.executable, *words, *own], {})]
    assert program == "srun"
    words = words[words.index("python") + 1 :]
    return [([sys.executable, *words, *own], slurm_task(node, port)) for node in (0, 1)]


def slurm_task(node: int, port: int) -> dict[str, str]:
    """What Slurm sets for the one task of a node of two."""
    twice = ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_NNODES")
    return {
        **dict.fromkeys(twice, "2"),
        **{"SLURM_NTASKS_PER_NODE": "1", "SLURM_NODEID": str(node), "SLURM_PROCID": str(node)},
        **{"SLURM_LOCALID": "0", "SLURM_NODELIST": "localhost", "SLURM_JOB_NAME": "mixvae"},
        **{"SLURM_JOB_ID": "1", "MASTER_PORT": str(port)},
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_the_page_runs(tmp_path: Path, repo_root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"}
    number = 0
    for lines in blocks():
        with socket.create_server(("localhost", 0)) as server:
            port = int(server.getsockname()[1])
        commands = [line for line in lines if line.startswith(("python ", "torchrun ", "srun "))]
        assert commands
        started = [
            subprocess.Popen(
                arguments,
                cwd=tmp_path,
                env=environment | variables,
                stderr=subprocess.PIPE,
                text=True,
            )
            for line in commands
            for arguments, variables in processes_of(line, tmp_path, port)
        ]
        for process in started:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
        number += len(commands)
    assert number == 6
    made = {path.relative_to(tmp_path).parts[1] for path in tmp_path.glob("runs/**/summary.json")}
    assert made == {"alone", "digits_cpl", "two", "large"}
