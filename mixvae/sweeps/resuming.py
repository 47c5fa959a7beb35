"""Sweeps from the command line: where they are kept, how they go on, their tables."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixvae.cli.errors import UsageError
from mixvae.cli.hydra_call import OWN_FOLDERS
from mixvae.cli.overrides import unquoted
from mixvae.files import write_text

COMMAND = "overrides.txt"
RESUME_KEY = "sweep.resume"
# Hydra's options that a sweep keeps beside its overrides, by the attribute of `Command`.
FLAGS = {"--config-dir": "config_dir", "--config-name": "config_name"}
# In the name of a folder that a failed job left and that was moved aside to run it again.
FAILED_MARK = "_failed"
# How a job may end that is not to run again: a search prunes those that are no better than others.
ENDED = ("finished", "pruned")


def split_resume(overrides: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Part `sweep.resume=FOLDER` from the other overrides.

    Args:
        overrides: What the command line overrides.

    Returns:
        The folder, None if none is named, and the other overrides.

    Raises:
        UsageError: If the folder is no sweep's.
    """
    folders = [
        unquoted(line.partition("=")[2])
        for line in overrides
        if line.lstrip("+").partition("=")[0] == RESUME_KEY
    ]
    others = [line for line in overrides if line.lstrip("+").partition("=")[0] != RESUME_KEY]
    if not folders:
        return None, others
    folder = Path(folders[-1]).expanduser()
    if not (folder / COMMAND).is_file():
        what = "holds no sweep" if folder.is_dir() else "does not exist"
        raise UsageError(f"{RESUME_KEY}={folders[-1]}: the folder {what}; name multirun/<name>/...")
    return folder, others


@dataclass(frozen=True)
class Command:
    """What a sweep was started with.

    Attributes:
        overrides: What its command line overrides.
        config_dir: `--config-dir`, absolute; None for none.
        config_name: `--config-name`; None for mixvae's own.
    """

    overrides: list[str]
    config_dir: str | None = None
    config_name: str | None = None

    @classmethod
    def said(cls, args: Namespace, overrides: Sequence[str]) -> Command:
        """Return what a command line says.

        Args:
            args: What Hydra's parser made of it.
            overrides: What it overrides.
        """
        folder = None if args.config_dir is None else os.path.abspath(args.config_dir)
        return cls(list(overrides), folder, args.config_name)

    @classmethod
    def read(cls, folder: Path) -> Command:
        """Return what a sweep's folder has kept.

        Args:
            folder: The sweep's folder.
        """
        lines = (folder / COMMAND).read_text(encoding="utf-8").splitlines()
        said: dict[str, str] = {}
        for line in lines:
            flag, separator, value = line.partition("=")
            if separator and flag in FLAGS:
                said[FLAGS[flag]] = value
        return cls([line for line in lines if line.partition("=")[0] not in FLAGS], **said)

    @property
    def flags(self) -> list[str]:
        """What it says to Hydra of where configs lie."""
        return [
            f"{flag}={value}"
            for flag, name in FLAGS.items()
            if (value := getattr(self, name)) is not None
        ]

    @property
    def lines(self) -> list[str]:
        """All of it, flags first."""
        return [*self.flags, *self.overrides]


def resumed_command(folder: Path, said: Command) -> Command:
    """What a stopped sweep was started with; it can be said again, but not otherwise.

    Args:
        folder: The sweep's folder.
        said: What the command line says beside `sweep.resume`; nothing is enough.

    Returns:
        The command of the sweep's first start.

    Raises:
        UsageError: If the command line says something else than the sweep's own did.
    """
    before = _with_config(Command.read(folder), said, folder)
    added = [line for line in said.lines if line not in before.lines]
    # Where configs lie need not be said again, and nothing else where nothing is said.
    left = [line for line in before.overrides if line not in said.overrides]
    if added or (said.overrides and sorted(said.overrides) != sorted(before.overrides)):
        left = left if said.overrides else []
        raise UsageError(
            f"{RESUME_KEY} goes on with the same jobs, but the command line"
            + (f" adds {shlex.join(added)}" if added else "")
            + (" and" if added and left else "")
            + (f" leaves out {shlex.join(left)}" if left else "")
            + f"; say only -m {_going_on(folder)}"
        )
    return before


def _with_config(before: Command, said: Command, folder: Path) -> Command:
    """Complete the command of a sweep of earlier versions, which did not keep where configs lay."""
    if before.config_name is not None or not set(OWN_FOLDERS) <= set(before.overrides):
        return before
    if said.config_name is None:
        raise UsageError(
            f"the sweep in {folder} was begun with --config-name, which it has not kept;"
            f" say --config-dir and --config-name again beside {RESUME_KEY}"
        )
    overrides = [line for line in before.overrides if line not in OWN_FOLDERS]
    return replace(said, overrides=overrides)


def _going_on(folder: Path) -> str:
    """What to say to go on with a sweep, as a shell takes it."""
    return shlex.quote(f"{RESUME_KEY}={folder}")


def begin(folder: Path, command: Command) -> None:
    """Make a new sweep's folder and keep its command line in it.

    Args:
        folder: Where the sweep goes.
        command: What it is started with.

    Raises:
        UsageError: If the folder already holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"the sweep's folder {folder} is not empty; choose another hydra.sweep.dir,"
            f" or go on with the sweep in it: -m {_going_on(folder)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / COMMAND, "".join(f"{line}\n" for line in command.lines))


def finish(folder: Path) -> dict[str, int]:
    """Write a sweep's tables and say where they are.

    Args:
        folder: The sweep's folder.

    Returns:
        Number of jobs of each status.

    Raises:
        OSError: If there is no such folder, or it cannot be written.
        ValueError: If it holds no job.
    """
    # Here, so that a wrong command line is refused before matplotlib is imported.
    from mixvae.sweeps.tables import collect

    jobs = collect(folder)
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job.status] = counts.get(job.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    print(f"sweep          {folder}: {told}")
    for name in ("sweep.csv", "aggregate.csv", "sweep.png"):
        if (folder / name).is_file():
            print(f"               {folder / name}")
    # A search's command goes on with it, and its failures are part of what it found.
    if set(counts) - set(ENDED) and (folder / COMMAND).is_file():
        print(f"to go on: python -m mixvae.train -m {_going_on(folder)}", file=sys.stderr)
    sys.stdout.flush()
    return counts
