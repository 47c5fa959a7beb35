"""The commands as a user starts them: exit statuses, what is printed, what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL, Command

NOISY = (*SMALL, "augmenter=noise", "trainer.max_epochs=60")


@pytest.fixture
def environment(repo_root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(repo_root)}


@pytest.fixture
def command(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Any]:
    """Run a module of mixvae to its end, in an empty folder."""

    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"mixvae.{module}", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Start a training, and end it with the test whatever happens."""
    started = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mixvae.train", *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Read what the process prints until a line begins with these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(words):
            return
    pytest.fail(f"it ended without printing {words!r}")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert isinstance(state, dict)
    return state


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    first, second = weights(one), weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_misspelt_key_is_refused_in_one_line_and_leaves_nothing(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    done = command("train", "-m", "model.tua=0.1")
    assert done.returncode == 2
    assert done.stderr == "error: unknown key 'model.tua'; did you mean 'model.tau'?\n"
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["train", "evaluate"])
def test_help_is_quick_and_refusals_too(module: str, environment: dict[str, str]) -> None:
    code = (
        f"import sys; from mixvae.{module} import main;"
        "statuses = [main(['--help']), main(['modl.x=1'])];"
        "print(statuses, {'torch', 'lightning', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[0, 2] set()"


def test_flags_may_stand_anywhere_and_a_config_is_only_shown(
    train: Command, tmp_path: Path
) -> None:
    done = train("seed=7", "--cfg", "job", "model.num_agents=3")
    assert done.status == 0
    assert "seed: 7" in done.out
    assert "num_agents: 3" in done.out
    assert list(tmp_path.iterdir()) == []


def test_pickled_configs_are_not_taken(train: Command) -> None:
    done = train("--experimental-rerun", "config.pickle")
    assert done.status == 2
    assert "unpickles" in done.err


@pytest.mark.slow
def test_ctrl_c_saves_says_how_to_go_on_and_going_on_is_exact(
    start: Callable[..., Any], command: Callable[..., Any], tmp_path: Path
) -> None:
    whole = command("train", *NOISY, "run_dir=whole")
    assert whole.returncode == 0, whole.stderr
    process = start(*NOISY, "run_dir=part")
    wait_for(process, "epoch 2/60")
    process.send_signal(signal.SIGINT)
    time.sleep(0.01)
    # Once more, as one does: this must break nothing.
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    told = [line for line in errors.splitlines() if "to continue: " in line]
    assert len(told) == 1
    assert told[0].endswith("python -m mixvae.train resume=part")
    summary = json.loads((tmp_path / "part" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert 2 <= summary["epochs"] < 60
    resumed = command("train", "resume=part")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "part", tmp_path / "whole")


def test_a_process_ends_with_its_status_and_its_exit_handlers(tmp_path: Path) -> None:
    code = """
import atexit, sys, tempfile
from mixvae.cli.errors import run_as_process
def main():
    global folder
    folder = tempfile.TemporaryDirectory(dir=sys.argv[1])
    atexit.register(print, "handled")
    print("done", end="")
    return 3
run_as_process(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "donehandled\n", "")
    assert list(tmp_path.iterdir()) == []
