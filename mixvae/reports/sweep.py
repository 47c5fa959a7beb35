"""Draws the report of several runs: the jobs of a sweep, the trials of a search, or any folders."""

from __future__ import annotations

import html
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixvae.files import read_table, write_text
from mixvae.reports.charts import COLOURS, MOST_GROUPS, Chart, finite
from mixvae.reports.page import REPORT, Table, find_pictures, plotly, template
from mixvae.reports.record import Record, read_curves, read_record

Job = dict[str, str]
# What sweeps and searches write: a name, the settings, `status`, `error`, then metrics.
TABLES = ("sweep.csv", "search.csv")
UNSHOWN = ("run_dir", "num_threads", "data_root", "logger")  # overrides that change no result
MOST_METRICS = 8
# Metrics that people compare, before all others.
FIRST = ("test/accuracy", "test/ari", "test/nmi", "test/consensus", "test/probe_accuracy",
         "test/coherence", "test/reconstruction", "val/loss")  # fmt: skip
CURVES = ("val/loss", "val/consensus", "val/accuracy", "val/imputation")
DASHES = ("solid", "dash", "dot", "dashdot")


def is_sweep(folder: Path) -> bool:
    """Whether the folder is that of a sweep or a search and not of a run."""
    tables = [name for name in TABLES if (folder / name).is_file()]
    return bool(tables) and not (folder / "config.yaml").is_file()


def runs_in(folder: Path) -> list[Path]:
    """The run folders in a folder, by number or name; none if it is a run itself."""
    if (folder / "config.yaml").is_file():
        return []
    found = [path.parent for path in folder.glob("*/summary.json")]
    return sorted(
        found, key=lambda path: path.name.zfill(9) if path.name.isdecimal() else path.name
    )


def write_sweep_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a sweep or a search, and return its path.

    Raises:
        ValueError: If its sweep.csv and search.csv are missing or name no job.
    """
    jobs = next(filter(None, (read_table(folder / name) for name in TABLES)), [])
    if not jobs or "status" not in jobs[0]:
        raise ValueError(f"run={folder} has no sweep.csv or search.csv that names a job")
    first = next(iter(jobs[0]))
    # Of a trial over several seeds, the first job.
    runs = {job[first]: folder / (job.get("jobs") or job[first]).split()[0] for job in jobs}
    return _write(folder / REPORT, "/".join(folder.absolute().parts[-2:]), jobs, runs)


def write_comparison(runs: Sequence[Path], path: Path) -> Path:
    """Write a page that shows several runs side by side, and return its path.

    Raises:
        ValueError: If one of the folders holds no run.
    """
    jobs = [_job(read_record(run)) for run in runs]
    keys = dict.fromkeys(key for job in jobs for key in job)
    before = [key for key in keys if "/" not in key and key != "status"]
    columns = [*before, "status", *(key for key in keys if "/" in key)]
    rows = [{name: job.get(name, "") for name in columns} for job in jobs]
    folders = {run.as_posix(): run for run in runs}
    return _write(path, f"{len(runs)} runs", rows, folders)


def _job(record: Record) -> Job:
    """A run as a row of a table: its folder, overrides, status and metrics."""
    lines = [line.lstrip("+").partition("=") for line in record.overrides]
    own = {key: value for key, _, value in lines if key.split(".")[0] not in UNSHOWN}
    numbers = {name: record.number(name) for name in record.summary if "/" in name}
    metrics = {name: f"{value:.6g}" for name, value in numbers.items() if value is not None}
    seed = {"seed": str(record.config.get("seed", ""))}
    return {"run": record.folder.as_posix(), **seed, **own, "status": record.status, **metrics}


def _write(path: Path, name: str, jobs: Sequence[Job], runs: Mapping[str, Path]) -> Path:
    """Write the page; `runs` has the folder of each row by the text of its first column."""
    first, settings, metrics = next(iter(jobs[0])), _settings(jobs), _metrics(jobs)
    reports = {row: run / REPORT for row, run in runs.items() if (run / REPORT).is_file()}
    page = template("sweep.html.j2").render(
        name=name,
        jobs=jobs,
        columns=[first, "status", *settings, *metrics],
        links={row: os.path.relpath(own, path.parent) for row, own in reports.items()},
        failed=[job for job in jobs if job["status"] not in ("finished", "pruned")],
        tables=over_seeds(jobs, settings, metrics),
        charts=[*parallel_coordinates(jobs, [*settings, *metrics]), *_curves(runs)],
        pictures=list(find_pictures(path.parent)) if path.name == REPORT else [],
        plotly=plotly(),
    )
    write_text(path, page)
    return path


def _settings(jobs: Sequence[Job]) -> list[str]:
    """The settings that differ between jobs."""
    names = list(jobs[0])
    given = [name for name in names[1 : names.index("status")] if name != "jobs"]
    return [name for name in given if len({job[name] for job in jobs}) > 1]


def _metrics(jobs: Sequence[Job]) -> list[str]:
    """Metrics over all agents or modalities that people compare; else the first ones."""
    names = [name for name in jobs[0] if "/" in name and any(job[name] for job in jobs)]
    return [name for name in FIRST if name in names] or names[:MOST_METRICS]


def over_seeds(jobs: Sequence[Job], settings: Sequence[str], metrics: Sequence[str]) -> list[Table]:
    """Mean and sample standard deviation of finished jobs that differ in the seed alone.

    No table if no two jobs do.
    """
    fixed = [name for name in settings if name != "seed"]
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        if job["status"] == "finished":
            groups.setdefault(tuple(job[name] for name in fixed), []).append(job)
    if "seed" not in settings or not any(len(group) > 1 for group in groups.values()):
        return []
    rows = []
    for key, group in groups.items():
        values = [[float(job[name]) for job in group if job[name]] for name in metrics]
        seeds = " ".join(job["seed"] for job in group)
        rows.append([*key, seeds, *map(_mean_and_deviation, values)])
    header = [*fixed, "seeds", *metrics]
    return [Table("Mean \N{PLUS-MINUS SIGN} standard deviation", header, rows, len(rows))]


def _mean_and_deviation(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.4g}"
    if len(values) < 2:
        return mean
    return f"{mean} \N{PLUS-MINUS SIGN} {statistics.stdev(values):.2g}"


def parallel_coordinates(jobs: Sequence[Job], columns: Sequence[str]) -> list[Chart]:
    """A line for each job with all values through its settings and metrics; none for one job."""
    whole = [job for job in jobs if all(job[name] for name in columns if "/" in name)]
    axes = [axis for name in columns if (axis := _axis(whole, name)) is not None]
    if len(whole) < 2 or len(axes) < 2:
        return []
    line = {"color": axes[-1]["values"], "colorscale": "Cividis", "showscale": True}
    data: dict[str, Any] = {"type": "parcoords", "dimensions": axes, "line": line}
    text = f"A line for each of {len(whole)}, coloured by {columns[-1]}."
    margin = {"t": 60, "l": 80, "r": 40, "b": 30}  # of the names above the outer axes
    return [Chart("Settings and metrics", text, [data], {"margin": margin})]


def _axis(jobs: Sequence[Job], name: str) -> dict[str, Any] | None:
    """The values of a column as an axis: numbers, or words in their order."""
    words = [job[name] for job in jobs]
    if len(set(words)) < 2:
        return None
    label = html.escape(name)
    try:
        return {"label": label, "values": [float(word) for word in words]}
    except ValueError:
        kinds = sorted(set(words))
        ticks = {"tickvals": list(range(len(kinds))), "ticktext": [html.escape(k) for k in kinds]}
        return {"label": label, "values": [kinds.index(word) for word in words], **ticks}


def _curves(runs: Mapping[str, Path]) -> list[Chart]:
    """The main validation metrics of the jobs over epochs, a line for each."""
    shown = list(runs.items())[:MOST_GROUPS]
    found = {name: read_curves(run / "metrics.csv", []) for name, run in shown}
    charts = []
    for metric in CURVES:
        drawn = [(name, curves[metric]) for name, curves in found.items() if metric in curves]
        data = [
            {
                **{"type": "scatter", "mode": "lines", "name": html.escape(name)},
                **{"x": epochs, "y": finite(values)},
                "line": {"color": COLOURS[i % len(COLOURS)], "dash": DASHES[i // len(COLOURS) % 4]},
            }
            for i, (name, (epochs, values)) in enumerate(drawn)
        ]
        if len(drawn) > 1:
            left = (
                f" {len(runs) - len(shown)} more are not drawn." if len(shown) < len(runs) else ""
            )
            axes = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": metric}}}
            charts.append(Chart(metric, f"{metric} of {len(drawn)}.{left}", data, axes))
    return charts
