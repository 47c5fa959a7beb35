"""Provenance of a run: code, versions, machine, command."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mixvae import __version__

# A module at the beginning of a line: a name, or a file's path up to a slash or its ending.
TOP = re.compile(r"^[^/.,\n]+", re.MULTILINE)


def describe_provenance(command: Sequence[str]) -> dict[str, Any]:
    """Return code, versions, machine and command; `git_commit` is None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "mixvae": __version__,
        "git_commit": commit,
        "git_dirty": None if commit is None else bool(changes),
        "command": shlex.join(["python", "-m", "mixvae.train", *command]),
        "folder": os.getcwd(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.node(),
        "cpu": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "versions": imported_versions(),
    }


def imported_versions() -> dict[str, str]:
    """Return the version of every installed package that this process has imported so far."""
    imported = {name.partition(".")[0] for name in sys.modules}
    names = dict(_named(one) for one, modules in _modules_of() if imported & modules)
    versions = {name: names[name] for name in sorted(names, key=str.lower)}
    # With its build (+cpu, +cu130), which the metadata may leave out.
    return versions | {"torch": str(torch.__version__)}


@cache
def _modules_of() -> list[tuple[metadata.Distribution, set[str]]]:
    """Return every installed package with the names of its top-level modules.

    `metadata.packages_distributions` would also ask of every installed file whether it exists.
    """
    return [
        (one, set(TOP.findall(one.read_text("top_level.txt") or one.read_text("RECORD") or "")))
        for one in metadata.distributions()
    ]


@cache
def _named(package: metadata.Distribution) -> tuple[str, str]:
    """Name and version of a package; each access parses the metadata anew, in milliseconds."""
    found = package.metadata
    return found["Name"], found["Version"]


def _git(*arguments: str) -> str | None:
    """Return git's answer about the checkout of this package; None outside a checkout."""
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
