"""The tables and the figure of a sweep, made from its job folders."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixvae.cli.command import key_of
from mixvae.cli.config_file import load_config
from mixvae.figures.sweep import sweep_figure
from mixvae.files import replacing, write_table
from mixvae.runs.folder import RunFolder
from mixvae.runs.jobs import FAILED_MARK

# Numbers of a summary that describe the run and do not measure it.
NO_METRICS = ("seed", "best_epoch")


@dataclass
class JobRecord:
    """The record that a job's folder holds.

    Attributes:
        name: Name of its folder: the job's number in the sweep.
        overrides: Lines `key=value`.
        status: `finished`, `pruned`, `interrupted`, `failed`, `running`, or `missing` before its
            start.
        metrics: The numbers of its summary.
    """

    name: str
    overrides: list[str]
    status: str
    error: str = ""
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def varied(self) -> dict[str, str]:
        """The overrides as a mapping."""
        return {key_of(line): line.partition("=")[2] for line in self.overrides}


def read_jobs(sweep: Path) -> list[JobRecord]:
    """Read the job folders of a sweep, in the order of their numbers."""
    if not sweep.is_dir():
        raise FileNotFoundError(f"the sweep's folder {sweep} is missing")
    folders = [path for path in sweep.iterdir() if path.is_dir() and _is_job(path)]
    if not folders:
        raise ValueError(f"{sweep} is not a sweep: it holds no job folders 0, 1, ...")
    # Numbers in their order, other names after them.
    folders.sort(key=lambda path: path.name.zfill(9) if path.name.isdecimal() else path.name)
    return [_read_job(path) for path in folders]


def _is_job(path: Path) -> bool:
    """Whether a folder is a job's, and not one that failed and was moved aside."""
    written = path.name.isdecimal() or RunFolder(path).overrides.is_file()
    return written and FAILED_MARK not in path.name


def _read_job(path: Path) -> JobRecord:
    folder = RunFolder(path)
    summary = folder.read_summary()
    text = folder.overrides.read_text(encoding="utf-8") if folder.overrides.is_file() else ""
    metrics = {
        name: float(value)
        for name, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in NO_METRICS
    }
    status, error = str(summary.get("status", "missing")), str(summary.get("error", ""))
    return JobRecord(path.name, text.splitlines(), status, error, metrics)


@dataclass
class Aggregate:
    """The finished jobs that differ in nothing but the seed."""

    varied: dict[str, str]  # the other overrides, by key
    seeds: list[str]  # as on the command line
    values: dict[str, list[float]]  # of each metric, one per job that has it

    def mean(self, name: str) -> float:
        """Mean of a metric over the seeds; NaN without a value."""
        return statistics.fmean(self.values[name]) if self.values.get(name) else math.nan

    def deviation(self, name: str) -> float:
        """Sample standard deviation of a metric over the seeds; NaN with fewer than two values."""
        values = self.values.get(name, [])
        return statistics.stdev(values) if len(values) > 1 else math.nan


def aggregate(jobs: Iterable[JobRecord]) -> list[Aggregate]:
    """Group the finished jobs by their overrides without the seed, in the order of the jobs."""
    groups: dict[tuple[tuple[str, str], ...], Aggregate] = {}
    for job in jobs:
        if job.status != "finished":
            continue
        varied = {key: value for key, value in job.varied.items() if key != "seed"}
        group = groups.setdefault(tuple(varied.items()), Aggregate(varied, [], {}))
        group.seeds.append(job.varied.get("seed", ""))
        for name, value in job.metrics.items():
            group.values.setdefault(name, []).append(value)
    return list(groups.values())


def collect(sweep: Path) -> list[JobRecord]:
    """Write `sweep.csv`, `aggregate.csv` and `sweep.png` from a sweep's jobs, and return these."""
    jobs = read_jobs(sweep)
    groups = aggregate(jobs)
    _write_jobs(sweep / "sweep.csv", jobs)
    _write_aggregates(sweep / "aggregate.csv", groups)
    _draw(sweep, jobs, groups)
    return jobs


def _write_jobs(path: Path, jobs: Sequence[JobRecord]) -> None:
    keys = _keys_of(job.varied for job in jobs)
    metrics = sorted({name for job in jobs for name in job.metrics})
    rows = [
        [
            job.name,
            *(job.varied.get(key, "") for key in keys),
            *(job.status, job.error),
            *(_number(job.metrics.get(name, math.nan)) for name in metrics),
        ]
        for job in jobs
    ]
    write_table(path, ["job", *keys, "status", "error", *metrics], rows)


def _write_aggregates(path: Path, groups: Sequence[Aggregate]) -> None:
    keys = _keys_of(group.varied for group in groups)
    metrics = sorted({name for group in groups for name in group.values})
    columns = [f"{name} {kind}" for name in metrics for kind in ("mean", "sd")]
    rows = []
    for group in groups:
        settings = [group.varied.get(key, "") for key in keys]
        values = [(group.mean(name), group.deviation(name)) for name in metrics]
        numbers = [_number(value) for pair in values for value in pair]
        rows.append([*settings, len(group.seeds), " ".join(group.seeds), *numbers])
    write_table(path, [*keys, "jobs", "seeds", *columns], rows)


def _keys_of(overrides: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the keys of several mappings, each once, in the order of their first use."""
    return list(dict.fromkeys(key for varied in overrides for key in varied))


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def varying_keys(overrides: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the keys other than the seed whose values differ between jobs."""
    return [
        key
        for key in _keys_of(overrides)
        if key != "seed" and len({varied.get(key) for varied in overrides}) > 1
    ]


def _draw(sweep: Path, jobs: Sequence[JobRecord], groups: Sequence[Aggregate]) -> None:
    objective = _objective_of(sweep, jobs)
    drawn = [group for group in groups if group.values.get(objective)]
    if not drawn:
        return
    keys = varying_keys([job.varied for job in jobs])
    names = [_short(group.varied, keys) for group in drawn]
    figure = sweep_figure(names, [group.values[objective] for group in drawn], objective)
    with replacing(sweep / "sweep.png") as temporary:
        figure.savefig(temporary, bbox_inches="tight", pad_inches=0.1)


def _short(varied: Mapping[str, str], keys: Sequence[str]) -> str:
    parts = [f"{key.rpartition('.')[2]}={varied[key]}" for key in keys if key in varied]
    return textwrap.shorten(", ".join(parts), 60, placeholder=" ...") or "as configured"


def _objective_of(sweep: Path, jobs: Sequence[JobRecord]) -> str:
    """Return the name of the metric that the sweep's runs return, from its first config."""
    configs = (RunFolder(sweep / job.name).config for job in jobs)
    found = next((config for config in configs if config.is_file()), None)
    return "val/loss" if found is None else str(load_config(found).objective)
