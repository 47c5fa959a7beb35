"""Jobs of a sweep at the same time, in processes of joblib."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mixvae.runs.folder import RunFolder
from mixvae.train import main
from tests.sweeps.conftest import statuses

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
pytestmark = pytest.mark.slow
BESIDE = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep")


def start(folder: Path, repo_root: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `mixvae.train -m` as a shell does: a group of its own, which Ctrl-C reaches."""
    return subprocess.Popen(
        [sys.executable, "-m", "mixvae.train", "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_job_that_fails_leaves_the_others_alone_and_lines_are_numbered(
    small: Sequence[str], tmp_path: Path, repo_root: Path
) -> None:
    arguments = (*small, *BESIDE, "model.optimizer.lr=1e30,1e-3")
    process = start(tmp_path, repo_root, *arguments)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 1, err
    assert statuses(tmp_path / "sweep") == ["failed", "finished"]
    assert "Traceback" not in err
    assert "[0] error in job 0:" in err
    lines = out.splitlines()
    # All but the sweep's own last words tell whose they are.
    own = lines.index(next(line for line in lines if line.startswith("sweep ")))
    assert {line[:4] for line in lines[:own]} == {"[0] ", "[1] "}
    assert any(line.startswith("[1] epoch 2/2") for line in lines)


def test_after_ctrl_c_a_sweep_goes_on_to_the_same_end(
    small: Sequence[str], tmp_path: Path, repo_root: Path
) -> None:
    sweep = tmp_path / "sweep"
    arguments = (*small, *BESIDE, "trainer.max_epochs=60", "seed=0,1,2")
    process = start(tmp_path, repo_root, *arguments)
    begun = [sweep / str(job) / "checkpoints" / "last.ckpt" for job in (0, 1)]
    end = time.monotonic() + 120
    while not all(path.exists() for path in begun) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "sweep.resume=sweep" in err
    stopped = {RunFolder(sweep / str(job)).status for job in (0, 1)}
    assert stopped <= {"interrupted", "running"}
    again = start(tmp_path, repo_root, "sweep.resume=sweep")
    out, err = again.communicate(timeout=250)
    assert again.returncode == 0, err
    assert "resuming" in out
    assert statuses(sweep) == ["finished"] * 3
    whole = tmp_path / "whole"
    assert main([*small, "trainer.max_epochs=60", f"run_dir={whole}"]) == 0
    assert (whole / "metrics.csv").read_text() == (sweep / "0" / "metrics.csv").read_text()
