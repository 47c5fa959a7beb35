"""Runs of experiments, one process and one folder each: what is finished is not trained again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.run_settings import check_version


def finished(folder: Path) -> dict[str, float] | None:
    """The summary of a finished run; None if it is missing or the run did not finish."""
    path = folder / "summary.json"
    if not path.is_file():
        return None
    check_version(folder)
    summary = json.loads(path.read_text())
    return summary if summary.get("status") == "finished" else None


def train(experiment: str, folder: Path, seed: int, overrides: Sequence[str]) -> None:
    """Train, unless it is finished; an interrupted run is resumed."""
    if finished(folder) is not None:
        return
    if (folder / "checkpoints" / "last.ckpt").exists():
        launch([f"resume={folder}"])
    else:
        launch([f"+experiment={experiment}", f"seed={seed}", f"run_dir={folder}", *overrides])


def launch(arguments: Sequence[str], *, check: bool = True) -> None:
    """Run a training in a separate process; its failure ends this one if `check`."""
    command = [sys.executable, "-m", "mixvae.train", *arguments]
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, check=check)
