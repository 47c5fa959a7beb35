"""Runs of experiments: requested as jobs, trained by as few multiruns as possible.

A job is the overrides of one run. Its run lies in a sweep's folder under a common root and is
trained once: a stopped multirun is resumed, and a new one trains only jobs that no folder holds
with the current settings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments import single_runs
from experiments.run_settings import changed_since, check_version
from mixvae.sweeps.resuming import read_command
from mixvae.sweeps.tables import JobRecord, read_jobs

# The overrides of one run, `key=value`; a multirun varies the first key slowest.
Job = tuple[str, ...]
Block = tuple[tuple[str, tuple[str, ...]], ...]
# Left out, as they take seconds per run: W&B files, figures, tables, progress bars.
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
        record: Its status and metrics.
    """

    folder: Path
    record: JobRecord


def as_job(overrides: Iterable[str]) -> Job:
    """Write the overrides of one run as Hydra does, so that equal ones are equal texts."""
    return tuple(f"{key}={values[0]}" for key, values in _parted(overrides))


def blocks(jobs: Iterable[Job]) -> list[list[str]]:
    """Group jobs into few multiruns with exactly these jobs.

    Args:
        jobs: The jobs wanted.

    Returns:
        Overrides of each multirun, `key=value,value,...`.
    """
    found = [_parted(job) for job in jobs]
    for place in reversed(range(max(map(len, found), default=0))):
        found = _merged(found, place)
    return [[f"{key}={','.join(values)}" for key, values in block] for block in found]


def finished(root: Path, also: Sequence[Path] = ()) -> dict[frozenset[str], Run]:
    """Read the finished runs of the sweeps under a root, by their overrides in any order.

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
    """Train missing runs, and return the finished runs of the jobs.

    Args:
        jobs: The jobs wanted.
        root: Folder of the sweeps; each multirun gets a folder of its own in it.
        launcher: Overrides of new multiruns, `hydra/launcher=...`.
        also: Other folders of run folders, whose runs count too.

    Returns:
        The finished runs; failed jobs have printed their error and are left out.
    """
    wanted = {_identity(job): job for job in jobs}
    done = collect(jobs, root, also)
    outdated = {_identity(job) for job in jobs if job not in done} & set(finished(root, also))
    for folder in _sweeps(root):
        if _planned(folder) & (set(wanted) - set(finished(root, also))):
            launch([f"sweep.resume={folder}"])
    number = max((int(folder.name) for folder in _sweeps(root)), default=-1) + 1
    missing = set(wanted) - set(finished(root, also))
    # Planned jobs that are still missing failed again just now.
    missing -= set().union(*map(_planned, _sweeps(root)))
    missing |= outdated
    for lines in blocks(job for identity, job in wanted.items() if identity in missing):
        launch([*lines, *QUIET, *launcher, f"hydra.sweep.dir={root / str(number)}"])
        number += 1
    return collect(jobs, root, also, quiet=True)


def collect(
    jobs: Sequence[Job], root: Path, also: Sequence[Path] = (), *, quiet: bool = False
) -> dict[Job, Run]:
    """Return the finished runs of the jobs without training, see `complete`.

    A run whose overrides give other settings today, since an experiment's file
    changed, is ignored; unless `quiet`, this is printed.

    Raises:
        ValueError: If another version of mixvae made a run.
    """
    done = finished(root, also)
    found = {}
    for job in jobs:
        run = done.get(_identity(job))
        if run is None:
            continue
        check_version(run.folder)
        changed = changed_since(run.folder, job)
        if not changed:
            found[job] = run
        elif not quiet:
            print(f"{run.folder} is not used: {'; '.join(changed)}", file=sys.stderr)
    return found


def launch(arguments: Sequence[str]) -> None:
    """Run a multirun in a separate process."""
    # One failed job does not stop the others; the table shows the finished runs.
    single_runs.launch(["-m", *arguments], check=False)


def _sweeps(root: Path) -> list[Path]:
    folders = [path for path in root.glob("*") if path.name.isdecimal() and path.is_dir()]
    return sorted(folders, key=lambda path: int(path.name))


def _planned(folder: Path) -> set[frozenset[str]]:
    """Identities of the jobs of a sweep's folder."""
    overrides = read_command(folder).overrides
    if not overrides:
        return set()
    block = _parted(overrides)
    choices = [[f"{key}={value}" for value in values] for key, values in block]
    return {_identity(job) for job in product(*choices)}


def _identity(overrides: Iterable[str]) -> frozenset[str]:
    """The overrides that identify a run, without its folder and outputs."""
    lines = set(as_job(overrides)) - set(as_job(QUIET))
    return frozenset(line for line in lines if not line.startswith(("hydra", "run_dir=")))


def _parted(overrides: Iterable[str]) -> Block:
    """Split the lines of a multirun into keys and their values."""
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
    """Merge blocks that differ in the values of one place only."""
    groups: dict[Block, tuple[str, ...]] = {}
    for block in found:
        others = tuple((k, v) if at != place else (k, ()) for at, (k, v) in enumerate(block))
        values = block[place][1] if place < len(block) else ()
        groups[others] = groups.get(others, ()) + values
    return [
        tuple((k, v) if at != place else (k, values) for at, (k, v) in enumerate(others))
        for others, values in groups.items()
    ]
