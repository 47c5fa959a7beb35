"""A sweep on disk: one folder per job, and tables made from whatever is there."""

from __future__ import annotations

import csv
import io
import math
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixvae.cli.config_file import load_config
from mixvae.figures.sweep import sweep_figure
from mixvae.files import replacing, write_text
from mixvae.runs.folder import RunFolder
from mixvae.runs.jobs import FAILED_MARK

# What tells of the run itself and is no measure of it.
NO_METRICS = ("seed", "best_epoch")


@dataclass
class JobRecord:
    """What a job folder tells.

    Attributes:
        name: Name of its folder, the number of the job in the sweep.
        overrides: What the job overrides, `key=value`.
        status: `finished`, `pruned`, `interrupted`, `failed`, `running`, or `missing` before it has
            begun.
        error: Why it failed, where it did.
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
        pairs = (line.lstrip("+~").partition("=") for line in self.overrides)
        return {key: value for key, _, value in pairs}


def read_jobs(sweep: Path) -> list[JobRecord]:
    """Read every job of a sweep, in the order of their numbers.

    Args:
        sweep: The sweep's folder.

    Returns:
        The jobs whose folders are there.

    Raises:
        OSError: If there is no such folder.
        ValueError: If it holds no job.
    """
    if not sweep.is_dir():
        raise FileNotFoundError(f"there is no sweep folder {sweep}")
    folders = [path for path in sweep.iterdir() if path.is_dir() and _is_job(path)]
    if not folders:
        raise ValueError(f"{sweep} is no sweep: it holds no job folders 0, 1, ...")
    # Numbers in their order, other names after them.
    folders.sort(key=lambda path: path.name.zfill(9) if path.name.isdecimal() else path.name)
    return [_read_job(path) for path in folders]


def _is_job(path: Path) -> bool:
    """Whether a folder is a job's and still counts: one that failed and ran again does not."""
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
    return JobRecord(
        name=path.name,
        overrides=text.splitlines(),
        status=str(summary.get("status", "missing")),
        error=str(summary.get("error", "")),
        metrics=metrics,
    )


@dataclass
class Aggregate:
    """The finished jobs that differ in nothing but the seed.

    Attributes:
        varied: The other overrides, by key.
        seeds: Their seeds, as on the command line.
        values: The values of each metric, one per job that has it.
    """

    varied: dict[str, str]
    seeds: list[str]
    values: dict[str, list[float]]

    def mean(self, name: str) -> float:
        """Mean of a metric over the seeds; NaN where no job has it."""
        return statistics.fmean(self.values[name]) if self.values.get(name) else math.nan

    def deviation(self, name: str) -> float:
        """Sample standard deviation of a metric over the seeds; NaN with fewer than two."""
        values = self.values.get(name, [])
        return statistics.stdev(values) if len(values) > 1 else math.nan


def aggregate(jobs: Iterable[JobRecord]) -> list[Aggregate]:
    """Join the finished jobs of all seeds.

    Args:
        jobs: The jobs of a sweep.

    Returns:
        One entry for each set of overrides that differs in more than the seed, in their order.
    """
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
    """Write `sweep.csv`, `aggregate.csv` and `sweep.png` from the jobs that are there.

    Args:
        sweep: The sweep's folder.

    Returns:
        The jobs.

    Raises:
        OSError: If there is no such folder, or it cannot be written.
        ValueError: If it holds no job.
    """
    jobs = read_jobs(sweep)
    write_text(sweep / "sweep.csv", _job_table(jobs))
    groups = aggregate(jobs)
    write_text(sweep / "aggregate.csv", _aggregate_table(groups))
    _draw(sweep, jobs, groups)
    return jobs


def varying_keys(overrides: Sequence[Mapping[str, str]]) -> list[str]:
    """Keys other than the seed whose values are not the same everywhere.

    Args:
        overrides: What each job overrides, by key.
    """
    keys = list(dict.fromkeys(key for varied in overrides for key in varied))
    return [
        key for key in keys if key != "seed" and len({varied.get(key) for varied in overrides}) > 1
    ]


def _job_table(jobs: Sequence[JobRecord]) -> str:
    keys = list(dict.fromkeys(key for job in jobs for key in job.varied))
    metrics = sorted({name for job in jobs for name in job.metrics})
    rows = [["job", *keys, "status", "error", *metrics]]
    for job in jobs:
        settings = [job.varied.get(key, "") for key in keys]
        values = [_number(job.metrics.get(name)) for name in metrics]
        rows.append([job.name, *settings, job.status, job.error, *values])
    return _csv(rows)


def _aggregate_table(groups: Sequence[Aggregate]) -> str:
    keys = list(dict.fromkeys(key for group in groups for key in group.varied))
    metrics = sorted({name for group in groups for name in group.values})
    columns = [f"{name} {kind}" for name in metrics for kind in ("mean", "sd")]
    rows = [[*keys, "jobs", "seeds", *columns]]
    for group in groups:
        settings = [group.varied.get(key, "") for key in keys]
        values = [
            _number(value)
            for name in metrics
            for value in (group.mean(name), group.deviation(name))
        ]
        rows.append([*settings, str(len(group.seeds)), " ".join(group.seeds), *values])
    return _csv(rows)


def _draw(sweep: Path, jobs: Sequence[JobRecord], groups: Sequence[Aggregate]) -> None:
    objective = objective_of(sweep, jobs)
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


def objective_of(sweep: Path, jobs: Sequence[JobRecord]) -> str:
    """Name of the metric that the sweep's runs return, from the config of its first run.

    Args:
        sweep: The sweep's folder.
        jobs: Its jobs.
    """
    for job in jobs:
        config = RunFolder(sweep / job.name).config
        if config.is_file():
            return str(load_config(config).objective)
    return "val/loss"


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
