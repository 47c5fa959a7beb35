"""Runs of experiments: asked for as jobs, made by as few multiruns as may be.

A job is what one run overrides. Its run is kept in a sweep's folder under a common root, and is
made once: a stopped multirun is continued, and a new one asks only for what no folder holds with
the settings of today.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.run_settings import changed_since
from mixvae.sweeps.resuming import read_command
from mixvae.sweeps.tables import JobRecord, read_jobs

# The overrides of one run, `key=value`; a multirun varies the first key slowest.
Job = tuple[str, ...]
Block = tuple[tuple[str, tuple[str, ...]], ...]
# What a run of many need not leave, and seconds each: W&B files, pictures, tables, a progress bar.
QUIET = (
    "logger=csv",
    "callbacks.figures=null",
    "callbacks.predictions=null",
    "trainer.enable_progress_bar=false",
)


class Run(NamedTuple):
    """A finished run.

    Attributes:
        folder: Its folder.
        record: What it tells.
    """

    folder: Path
    record: JobRecord


def as_job(overrides: Iterable[str]) -> Job:
    """Write the overrides of one run as Hydra does, so that equal ones are equal texts."""
    return tuple(f"{key}={values[0]}" for key, values in _parted(overrides))


def blocks(jobs: Iterable[Job]) -> list[list[str]]:
    """Gather jobs into few multiruns that hold them all and no other.

    Args:
        jobs: The jobs wanted.

    Returns:
        What each multirun overrides, `key=value,value,...`.
    """
    found = [_parted(job) for job in jobs]
    for place in reversed(range(max(map(len, found), default=0))):
        found = _merged(found, place)
    return [[f"{key}={','.join(values)}" for key, values in block] for block in found]


def finished(root: Path, also: Sequence[Path] = ()) -> dict[frozenset[str], Run]:
    """Read the finished runs of the sweeps under a root, by what they override in any order.

    Args:
        root: Folder of the sweeps.
        also: Other folders of run folders.
    """
    found = {}
    for sweep in (*also, *_sweeps(root)):
        if any(path.is_dir() for path in sweep.iterdir()):
            for record in read_jobs(sweep):
                if record.status == "finished":
                    found[_identity(record.overrides)] = Run(sweep / record.name, record)
    return found


def complete(
    jobs: Sequence[Job], root: Path, launcher: Sequence[str] = (), also: Sequence[Path] = ()
) -> dict[Job, Run]:
    """Run what is missing, and return the finished runs of the jobs.

    Args:
        jobs: The jobs wanted.
        root: Folder of the sweeps; each multirun gets a folder of its own in it.
        launcher: How new multiruns are carried out, `hydra/launcher=...`.
        also: Other folders of run folders; those of a job's overrides are not made again.

    Returns:
        The runs of the jobs that are finished; one that failed has said why, and is left out.
    """
    wanted = {_identity(job): job for job in jobs}
    done = collect(jobs, root, also)
    outdated = {_identity(job) for job in jobs if job not in done} & set(finished(root, also))
    for folder in _sweeps(root):
        if _planned(folder) & (set(wanted) - set(finished(root, also))):
            launch([f"sweep.resume={folder}"])
    number = max((int(folder.name) for folder in _sweeps(root)), default=-1) + 1
    missing = set(wanted) - set(finished(root, also))
    # What a folder was for and still is not there failed again just now.
    missing -= set().union(*map(_planned, _sweeps(root)))
    missing |= outdated
    for lines in blocks(job for identity, job in wanted.items() if identity in missing):
        launch([*lines, *QUIET, *launcher, f"hydra.sweep.dir={root / str(number)}"])
        number += 1
    return collect(jobs, root, also, quiet=True)


def collect(
    jobs: Sequence[Job], root: Path, also: Sequence[Path] = (), *, quiet: bool = False
) -> dict[Job, Run]:
    """Return the finished runs of the jobs as they are, see `complete`.

    A run with other settings than its overrides give today, since an experiment's file was
    changed, is none of the job's; unless `quiet`, that is told.
    """
    done = finished(root, also)
    found = {}
    for job in jobs:
        run = done.get(_identity(job))
        if run is None:
            continue
        changed = changed_since(run.folder, job)
        if not changed:
            found[job] = run
        elif not quiet:
            print(f"{run.folder} is not used: {'; '.join(changed)}", file=sys.stderr)
    return found


def launch(arguments: Sequence[str]) -> None:
    """Run a multirun in a process of its own."""
    command = [sys.executable, "-m", "mixvae.train", "-m", *arguments]
    print(" ".join(command[1:]), flush=True)
    # A job that fails does not take the others with it; the table is made of what there is.
    subprocess.run(command, check=False)


def _sweeps(root: Path) -> list[Path]:
    folders = [path for path in root.glob("*") if path.name.isdecimal() and path.is_dir()]
    return sorted(folders, key=lambda path: int(path.name))


def _planned(folder: Path) -> set[frozenset[str]]:
    """What a sweep's folder is for: the identities of its jobs."""
    overrides = read_command(folder).overrides
    if not overrides:
        return set()
    block = _parted(overrides)
    choices = [[f"{key}={value}" for value in values] for key, values in block]
    return {_identity(job) for job in product(*choices)}


def _identity(overrides: Iterable[str]) -> frozenset[str]:
    """What tells runs apart; where one is kept and what it leaves beside does not."""
    lines = set(as_job(overrides)) - set(as_job(QUIET))
    return frozenset(line for line in lines if not line.startswith(("hydra", "run_dir=")))


def _parted(overrides: Iterable[str]) -> Block:
    """Part the lines of a multirun into keys and the values that they take."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return tuple(
        (
            line.get_key_element(),
            tuple(line.sweep_string_iterator())
            if line.is_sweep_override()
            else (line.get_value_element_as_str(),),
        )
        for line in parsed
    )


def _merged(found: Sequence[Block], place: int) -> list[Block]:
    """Put the blocks together that differ in the values of one place only."""
    groups: dict[Block, tuple[str, ...]] = {}
    for block in found:
        others = tuple((k, v) if at != place else (k, ()) for at, (k, v) in enumerate(block))
        values = block[place][1] if place < len(block) else ()
        groups[others] = groups.get(others, ()) + values
    return [
        tuple((k, v) if at != place else (k, values) for at, (k, v) in enumerate(others))
        for others, values in groups.items()
    ]
