"""Runs of the multimodal models on the rats: asked for as jobs, made by as few multiruns as may be.

A job is a method, a beta and a seed. Its run is kept in a sweep's folder under a common root, and
is made once: a stopped multirun is continued, and a new one asks only for what no folder holds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from mixvae.runtime.sweep_folder import JobRecord, read_jobs

EXPERIMENT = "hippocampus_mmvm"
WITHOUT_BETA = ("ae",)
METHODS = ("mmvm", "independent", "avg", "poe", "moe", "mopoe", "mmvae_plus", "ae")
# What a run of many need not leave, and seconds each: W&B files, pictures, tables, a progress bar.
QUIET = (
    "logger=csv",
    "callbacks.figures=null",
    "callbacks.predictions=null",
    "trainer.enable_progress_bar=false",
)


class Job(NamedTuple):
    """One training.

    Attributes:
        method: Name of a file of conf/model.
        beta: Weight of the regulariser; None for a model without one.
        seed: Seed of the run.
    """

    method: str
    beta: float | None
    seed: int


class Block(NamedTuple):
    """Jobs that one multirun makes: every combination of these."""

    methods: tuple[str, ...]
    betas: tuple[float | None, ...]
    seeds: tuple[int, ...]


def grid(methods: Iterable[str], betas: Sequence[float], seeds: Sequence[int]) -> list[Job]:
    """List every job; a method without beta gives one for each seed."""
    return [
        Job(method, beta, seed)
        for method in methods
        for beta in ((None,) if method in WITHOUT_BETA else betas)
        for seed in seeds
    ]


def blocks(jobs: Iterable[Job]) -> list[Block]:
    """Gather jobs into few blocks that hold them all and no other."""
    betas: dict[tuple[str, int], list[float | None]] = {}
    for job in jobs:
        betas.setdefault((job.method, job.seed), []).append(job.beta)
    methods: dict[tuple[int, tuple[float | None, ...]], list[str]] = {}
    for (method, seed), values in betas.items():
        methods.setdefault((seed, tuple(values)), []).append(method)
    seeds: dict[tuple[tuple[str, ...], tuple[float | None, ...]], list[int]] = {}
    for (seed, values), names in methods.items():
        seeds.setdefault((tuple(names), values), []).append(seed)
    return [Block(names, values, tuple(found)) for (names, values), found in seeds.items()]


def overrides(block: Block, extra: Sequence[str]) -> list[str]:
    """What the multirun of a block says to `mixvae.train`."""
    lines = [f"+experiment={EXPERIMENT}", f"model={_listed(block.methods)}"]
    if block.betas != (None,):
        lines.append(f"model.beta={_listed(block.betas)}")
    return [*lines, f"seed={_listed(block.seeds)}", *QUIET, *extra]


def finished(root: Path, extra: Sequence[str]) -> dict[Job, JobRecord]:
    """Read the finished runs under a root that were made with the same extra overrides."""
    found = {}
    for folder in _sweeps(root):
        if set(_extra(_said(folder))) != set(extra):
            continue
        if any(path.is_dir() for path in folder.iterdir()):
            records = [record for record in read_jobs(folder) if record.status == "finished"]
            found.update({_job(record): record for record in records})
    return found


def complete(jobs: Sequence[Job], root: Path, extra: Sequence[str]) -> dict[Job, JobRecord]:
    """Run what is missing, and return the finished runs of the jobs.

    Args:
        jobs: The jobs wanted.
        root: Folder of the sweeps; each multirun gets a folder of its own in it.
        extra: Overrides of every run, `key=value`.

    Returns:
        The records of the jobs that are finished; one that failed has said why, and is left out.
    """
    for folder in _sweeps(root):
        if _planned(folder, extra) & _missing(jobs, root, extra):
            launch([f"sweep.resume={folder}"])
    number = max((int(folder.name) for folder in _sweeps(root)), default=-1) + 1
    missing = _missing(jobs, root, extra)
    for block in blocks(job for job in jobs if job in missing):
        if any(_planned(folder, extra) & set(_jobs_of(block)) for folder in _sweeps(root)):
            continue  # it failed again just now
        launch([*overrides(block, extra), f"hydra.sweep.dir={root / str(number)}"])
        number += 1
    done = finished(root, extra)
    return {job: done[job] for job in jobs if job in done}


def _missing(jobs: Iterable[Job], root: Path, extra: Sequence[str]) -> set[Job]:
    return set(jobs) - set(finished(root, extra))


def launch(arguments: Sequence[str]) -> None:
    """Run a multirun in a process of its own."""
    command = [sys.executable, "-m", "mixvae.train", "-m", *arguments]
    print(" ".join(command[1:]), flush=True)
    # A job that fails does not take the others with it; the table is made of what there is.
    subprocess.run(command, check=False)


def _sweeps(root: Path) -> list[Path]:
    folders = [path for path in root.glob("*") if path.name.isdecimal() and path.is_dir()]
    return sorted(folders, key=lambda path: int(path.name))


def _said(folder: Path) -> list[str]:
    """What the command line of a sweep overrode."""
    path = folder / "overrides.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _planned(folder: Path, extra: Sequence[str]) -> set[Job]:
    """The jobs that a sweep's folder is for, if they are made with the same extra overrides."""
    lines = _said(folder)
    said = dict(line.lstrip("+").split("=", 1) for line in lines)
    if "model" not in said or set(_extra(lines)) != set(extra):
        return set()
    betas = said.get("model.beta")
    return set(
        _jobs_of(
            Block(
                tuple(said["model"].split(",")),
                (None,) if betas is None else tuple(float(beta) for beta in betas.split(",")),
                tuple(int(seed) for seed in said["seed"].split(",")),
            )
        )
    )


def _jobs_of(block: Block) -> list[Job]:
    return [
        Job(method, beta, seed)
        for method, beta, seed in product(block.methods, block.betas, block.seeds)
    ]


def _job(record: JobRecord) -> Job:
    beta = record.varied.get("model.beta")
    seed = int(record.varied["seed"])
    return Job(record.varied["model"], None if beta is None else float(beta), seed)


def _extra(lines: Iterable[str]) -> list[str]:
    """What was said beside the job itself and what this module always says."""
    own = ("experiment", "model", "model.beta", "seed", "hydra.sweep.dir")
    return [
        line for line in lines if line.lstrip("+").split("=")[0] not in own and line not in QUIET
    ]


def _listed(values: Iterable[object]) -> str:
    return ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
