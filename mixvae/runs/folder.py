"""The folder of a run: its files, its status, and when it may be made."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from mixvae.cli.schema import Checkpoint
from mixvae.files import LEFTOVER, lock, read_json

LOCK = ".lock"
# A file system over the network may show a new file this late to another machine.
VISIBLE_SECONDS = 20.0


class HeldError(ValueError):
    """Another process writes the run at this moment."""


class Inside:
    """The path of a file of a run, as an attribute of its folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: RunFolder, _: object = None) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """The files of a run, whose folder is an absolute path."""

    path: Path

    config = Inside("config.yaml")
    """The config; references to plain keys, `run_dir` and `seed` are not resolved."""
    overrides = Inside("overrides.txt")
    """Lines that the config was composed from."""
    provenance = Inside("provenance.json")
    """Code, versions, machine, command."""
    metrics = Inside("metrics.csv")
    """Logged metrics, one row per epoch."""
    summary = Inside("summary.json")
    """Status and final values."""
    review = Inside("review.json")
    """The verdict on a finished run of a mixture model."""
    augmenter = Inside("augmenter.ckpt")
    """A copy of the checkpoint of the learned augmenter, where the run uses one."""
    report = Inside("report.html")
    """The page that shows the run."""
    figures = Inside("figures")
    """Pictures."""

    @property
    def checkpoints(self) -> dict[str, Path]:
        """The checkpoints that can be tested, by name, whether they exist or not."""
        return {name: self.path / "checkpoints" / f"{name}.ckpt" for name in get_args(Checkpoint)}

    @property
    def last_checkpoint(self) -> Path:
        """The state between two epochs from which a run resumes."""
        return self.checkpoints["last"]

    def read_summary(self) -> dict[str, Any]:
        """Return the summary; an empty one if there is none or it cannot be read."""
        return read_json(self.summary)

    def read_provenance(self) -> dict[str, Any]:
        """Return the provenance; an empty one if there is none or it cannot be read."""
        return read_json(self.provenance)

    def read_overrides(self) -> list[str]:
        """Return the lines that the config was composed from; none if the file is missing."""
        if not self.overrides.is_file():
            return []
        return self.overrides.read_text(encoding="utf-8").splitlines()

    def check_writable(self) -> None:
        """Refuse a folder that takes no further results, such as one of another user."""
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise PermissionError(f"run {self.path} is not writable; use a copy of its folder")

    @property
    def config_hash(self) -> str:
        """SHA-256 of the config."""
        return hashlib.sha256(self.config.read_bytes()).hexdigest()

    @property
    def is_edited(self) -> bool:
        """Whether the config was changed since mixvae wrote it; False where it is not known."""
        return self.read_provenance().get("config_hash", self.config_hash) != self.config_hash

    @contextmanager
    def telling_origin(self) -> Iterator[None]:
        """Add to a missing file's error the folder in which the run's relative paths hold."""
        try:
            yield
        except FileNotFoundError as error:
            origin = self.read_provenance().get("folder", os.getcwd())
            if origin == os.getcwd():
                raise
            raise FileNotFoundError(f"{error}; the run was begun in {origin}") from error

    @property
    def status(self) -> str:
        """`running`, `finished`, `interrupted` or `failed`; `unknown` without a summary."""
        return str(self.read_summary().get("status", "unknown"))


def default_path(name: str) -> Path:
    """Return a folder that does not exist: `runs/<name>/<date_time>`, numbered on a collision."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(
            f"name is {name!r}, but it names a folder: use letters, digits, '_', '-' and '.'"
        )
    base = Path("runs") / name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return free_path(base).absolute()


def free_path(base: Path) -> Path:
    """Return `base`, or `base_2`, `base_3`, ...: the first that does not exist."""
    path, number = base, 2
    while path.exists():
        path, number = base.with_name(f"{base.name}_{number}"), number + 1
    return path


def check_free(path: Path) -> None:
    """Refuse a folder that a run may not be written into; nothing is made."""
    for folder in (path, *path.parents):
        if folder.exists():
            break
    if not folder.is_dir():
        raise NotADirectoryError(f"run_dir {path} cannot be made: {folder} is a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"run_dir {path} cannot be made: {folder} is not writable")
    if folder != path:
        return
    existing = RunFolder(path)
    going_on = shlex.quote(f"resume={path}")
    if existing.config.exists() or existing.summary.exists():
        raise ValueError(
            f"run_dir {path} already holds a run ({existing.status}); choose another folder"
            + (f", or continue it: {going_on}" if existing.status != "finished" else "")
        )
    # A run that was killed as it began has left its lock, and half a file maybe.
    content = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.name != LOCK and not LEFTOVER.fullmatch(entry.name)
    )
    if content:
        raise ValueError(
            f"run_dir {path} is not empty: it holds {content[0]}"
            + (f" and {len(content) - 1} more" if len(content) > 1 else "")
            + "; choose another folder"
        )


def check_same(folder: RunFolder, run_id: str | None, asked: str | Path | None) -> None:
    """Refuse another run folder than process 0 has; `asked` is named on this command line."""
    host = platform.node()
    if asked is not None and Path(asked).expanduser().absolute() != folder.path:
        raise ValueError(
            f"the run folder is {Path(asked).expanduser().absolute()} on {host}, but process 0 has"
            f" {folder.path}; give every machine the same command, with an absolute run_dir"
        )
    until = time.monotonic() + VISIBLE_SECONDS
    while folder.read_provenance().get("id") != run_id or not folder.config.is_file():
        if time.monotonic() > until:
            raise ValueError(
                f"{host} does not see the run folder {folder.path} of process 0; choose a run_dir"
                " on a file system that all machines share"
            )
        time.sleep(0.2)


@contextmanager
def claimed(folder: RunFolder) -> Iterator[None]:
    """Hold a run folder, so that no second process continues the run meanwhile."""
    folder.check_writable()
    with (folder.path / LOCK).open("a") as file:
        try:
            lock(file)
        except BlockingIOError as error:
            raise HeldError(
                f"run {folder.path} is being written by another process; wait for it to end"
            ) from error
        except OSError:
            # Some network file systems know no locks; then there is no protection.
            pass
        yield
