"""Draws the report of a run or a sweep: one HTML file with everything inside."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from mixvae.files import read_table, write_text
from mixvae.reports.charts import Chart, confusion, embeddings, learning_curves
from mixvae.reports.record import Record, read_record, verdict
from mixvae.reports.sliders import traversals
from mixvae.reports.sweep_charts import parallel_coordinates, shown_columns

REPORT = "report.html"
# A picture beyond this stays a file beside the page, so that the page stays below 10 MB.
LARGEST_PICTURES = 4_000_000
MOST_ROWS = 200
# Tables of a run folder that people read, with the title of each.
TABLES = {
    "state_genes.csv": "Genes that each state changes",
    "batch_composition.csv": "Categories and batches",
    "clusterability.csv": "Separation of categories and labels",
}


@dataclass(frozen=True)
class Picture:
    """A figure of the run folder, inside the page or beside it."""

    title: str
    source: str


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file; `total` counts those that are not shown too."""

    title: str
    header: list[str]
    rows: list[list[str]]
    total: int


def write_run_report(folder: Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    Raises:
        ValueError: If the folder holds no run.
    """
    record = read_record(folder)
    page = _template("run.html.j2").render(
        record=record,
        name=record.config.get("name") or record.summary.get("name") or folder.name,
        verdict=verdict(record),
        commands=_commands(record),
        sections=_sections(record),
        sliders=traversals(record),
        pictures=_pictures(folder, "figures"),
        tables=[table for name, title in TABLES.items() for table in _table(folder / name, title)],
        values=_values(record),
        plotly=_plotly(),
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


def write_sweep_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a sweep that has a `sweep.csv`, and return its path.

    Raises:
        ValueError: If the folder has no sweep.csv.
    """
    jobs = read_table(folder / "sweep.csv")
    if not jobs:
        raise ValueError(f"run={folder} has no sweep.csv with jobs; python -m mixvae.sweep"
                         f" collect={shlex.quote(str(folder))} makes it")  # fmt: skip
    columns = shown_columns(jobs)
    page = _template("sweep.html.j2").render(
        name=folder.name,
        jobs=jobs,
        columns=columns,
        failed=[job for job in jobs if job.get("status") not in ("finished", "pruned")],
        tables=_table(folder / "aggregate.csv", "Mean and standard deviation over seeds"),
        charts=parallel_coordinates(jobs, columns),
        pictures=_pictures(folder),
        plotly=_plotly(),
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


def is_sweep(folder: Path) -> bool:
    """Whether the folder is that of a sweep and not of a run."""
    return (folder / "sweep.csv").is_file() and not (folder / "config.yaml").is_file()


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mixvae.reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _plotly() -> str:
    """The source of plotly.js, which the page holds once."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _sections(record: Record) -> list[tuple[str, list[Chart]]]:
    """The charts of each section; a section without a chart is left out."""
    found: Sequence[tuple[str, list[Chart]]] = (
        ("Samples", embeddings(record)),
        ("Categories and labels", confusion(record)),
        ("Learning curves", learning_curves(record)),
    )
    return [(title, charts) for title, charts in found if charts]


def _commands(record: Record) -> dict[str, str]:
    """Command lines to repeat, resume, test and use the run."""
    run = shlex.quote(str(record.folder))
    commands: dict[str, str] = {}
    repeat = record.provenance.get("command")
    if repeat:
        commands["Repeat"] = repeat if isinstance(repeat, str) else shlex.join(map(str, repeat))
    if record.status in ("interrupted", "running", "failed"):
        commands["Resume"] = f"python -m mixvae.train resume={run}"
    if record.status == "finished":
        commands["Test again"] = f"python -m mixvae.evaluate run={run}"
        target = str((record.config.get("data") or {}).get("_target_", ""))
        if "cell" in target.lower():
            commands["Annotate"] = (
                f"python -m mixvae.annotate run={run} data.path=CELLS.h5ad out=ANNOTATED.h5ad"
            )
        elif record.family == "modalities":
            commands["Impute"] = (
                f"python -m mixvae.impute run={run} 'data.modalities={{NAME: FILE}}'"
                " out=imputed.npz"
            )
    return commands


def _pictures(base: Path, folder: str = ".") -> list[Picture]:
    """The PNG files of a folder in `base`, inside the page while there is room."""
    pictures, size = [], 0
    for path in sorted((base / folder).glob("*.png")):
        content = path.read_bytes()
        size += len(content)
        source = "data:image/png;base64," + base64.b64encode(content).decode()
        if size > LARGEST_PICTURES:
            source = path.relative_to(base).as_posix()
        pictures.append(Picture(path.stem.replace("_", " "), source))
    return pictures


def _table(path: Path, title: str) -> list[Table]:
    """The first rows of a CSV file; none if it is missing or empty."""
    rows = read_table(path)
    if not rows:
        return []
    shown = [list(row.values()) for row in rows[:MOST_ROWS]]
    return [Table(title, list(rows[0]), shown, len(rows))]


def _values(record: Record) -> list[tuple[str, Any]]:
    """Test values of the summary, those over all agents or modalities first."""
    found = [
        (name, value)
        for name, value in record.summary.items()
        if name.startswith("test/") and isinstance(value, int | float)
    ]
    return sorted(found, key=lambda item: (item[0].count("/"), item[0]))
