"""The folder of a sweep: the command that it keeps, how it goes on, its tables."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mixvae.cli.command import Command, key_of, parse
from mixvae.cli.compose import Job, plain_config
from mixvae.cli.errors import UsageError
from mixvae.cli.requests import unquoted
from mixvae.cli.trust import accept, check_kept_lines
from mixvae.files import write_text

COMMAND = "overrides.txt"
RESUME_KEY = "sweep.resume"
# How a job may end that is not to run again: a search prunes those that are no better than others.
ENDED = ("finished", "pruned")


def split_resume(command: Command) -> tuple[Path | None, Command]:
    """Return the folder of `sweep.resume=FOLDER`, if any, and the command without it."""
    folders = [unquoted(text) for text in command.values(RESUME_KEY)]
    others = [line for line in command.overrides if key_of(line) != RESUME_KEY]
    if not folders:
        return None, command
    folder = Path(folders[-1]).expanduser()
    if (folder / "config.yaml").is_file():
        raise UsageError(
            f"{RESUME_KEY}={folders[-1]} is a run, not a sweep; use resume= without -m"
        )
    if not (folder / COMMAND).is_file():
        problem = "holds no sweep" if folder.is_dir() else "does not exist"
        raise UsageError(
            f"{RESUME_KEY}={folders[-1]}: the folder {problem}; name multirun/<name>/..."
        )
    return folder, replace(command, overrides=others)


def read_command(folder: Path) -> Command:
    """Read the command that a sweep's folder has kept; an empty one if there is none."""
    file = folder / COMMAND
    return parse([*file.read_text(encoding="utf-8").splitlines(), "-m"] if file.is_file() else [])


def resumed_command(folder: Path, said: Command) -> Command:
    """Return the command that a stopped sweep was started with.

    Args:
        folder: The sweep's folder.
        said: The command line beside `sweep.resume`: nothing, or the same command again.
    """
    before = read_command(folder)
    added = [line for line in said.lines if line not in before.lines]
    # Flags need not be given again, and nothing else where nothing is given.
    left = [line for line in before.overrides if line not in said.overrides]
    if added or (said.overrides and sorted(said.overrides) != sorted(before.overrides)):
        differences = {"adds": added, "leaves out": left if said.overrides else []}
        told = [f"{verb} {shlex.join(lines)}" for verb, lines in differences.items() if lines]
        raise UsageError(
            f"{RESUME_KEY} goes on with the same jobs, but the command line {' and '.join(told)};"
            f" say only -m {_going_on(folder)}"
        )
    if not said.overrides:
        try:
            check_kept_lines(before.lines, folder)
        except ValueError as error:
            raise UsageError(str(error)) from error
    return before


def _going_on(folder: Path) -> str:
    """Return the override that continues a sweep, quoted for a shell."""
    return shlex.quote(f"{RESUME_KEY}={folder}")


def begin(folder: Path, command: Command, jobs: Sequence[Job]) -> None:
    """Make a new sweep's folder and keep its command line in it."""
    if is_taken(folder):
        raise UsageError(
            f"the sweep's folder {folder} is not empty; choose another hydra.sweep.dir,"
            f" or go on with the sweep in it: -m {_going_on(folder)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    accept(folder, [plain_config(job.cfg) for job in jobs], command.lines)
    write_text(folder / COMMAND, "".join(f"{line}\n" for line in command.lines))


def is_taken(folder: Path) -> bool:
    """Whether a folder for new files is a file, or not empty."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def finish(folder: Path) -> dict[str, int]:
    """Write a sweep's tables, print their paths, and return the number of jobs by status."""
    # Here, so that a wrong command line is refused before matplotlib is imported.
    from mixvae.sweeps.tables import collect

    jobs = collect(folder)
    counts = Counter(job.status for job in jobs)
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
