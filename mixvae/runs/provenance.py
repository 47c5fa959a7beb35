"""Where a run comes from: code, versions, machine, command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mixvae import __version__

PACKAGES = (
    "torch",
    "lightning",
    "hydra-core",
    "omegaconf",
    "wandb",
    "torchmetrics",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
)


def describe_provenance() -> dict[str, Any]:
    """Return what is needed to run the same again.

    Returns:
        Plain values for a JSON file; `git_commit` is None outside a repository of mixvae.
    """
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "mixvae": __version__,
        "git_commit": commit,
        "git_dirty": None if commit is None else bool(changes),
        "command": shlex.join(["python", "-m", "mixvae.train", *sys.argv[1:]]),
        "folder": os.getcwd(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.node(),
        "cpu": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    if name == "torch":  # with its build (+cpu, +cu130), which the metadata may leave out
        return str(torch.__version__)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Ask git about the checkout that this package was imported from; None if it is none."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
