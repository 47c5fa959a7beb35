"""Draws the report of a run: one HTML file with everything inside."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from mixvae import __version__
from mixvae.files import read_table, write_text
from mixvae.reports import contents
from mixvae.reports.charts import Chart, confusion, embeddings, learning_curves
from mixvae.reports.record import Record, read_record, verdict
from mixvae.reports.sliders import Slider, traversals

REPORT = "report.html"
# A picture beyond this stays a file beside the page, so that the page stays below 10 MB.
LARGEST_PICTURES = 2_200_000
MOST_ROWS = 400
CHARTS = {
    contents.SAMPLES: embeddings,
    contents.LATENTS: embeddings,
    contents.LABELS: confusion,
    contents.CURVES: learning_curves,
}


@dataclass(frozen=True)
class Picture:
    """A figure of the run folder, inside the page or beside it."""

    name: str
    source: str
    caption: str = ""

    @property
    def title(self) -> str:
        """The name of its file, in words."""
        return re.sub(r"(\d+)$", r" \1", self.name.replace("_", " ")).capitalize()


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file; `total` counts those that are not shown too."""

    title: str
    header: list[str]
    rows: list[list[str]]
    total: int


@dataclass(frozen=True)
class Part:
    """A section of the page with what this run has for it."""

    title: str
    charts: list[Chart]
    sliders: list[Slider]
    pictures: list[Picture]
    tables: list[Table]


def write_run_report(folder: Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    Raises:
        ValueError: If the folder holds no run.
    """
    record = read_record(folder)
    page = template("run.html.j2").render(
        record=record,
        name=record.config.get("name") or record.summary.get("name") or folder.name,
        verdict=verdict(record),
        version=__version__,
        data=_data(record),
        commands=_commands(record),
        parts=list(_parts(record)),
        values=_values(record),
        plotly=plotly(),
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


@cache
def template(name: str) -> jinja2.Template:
    """A template of the folder `templates`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mixvae.reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def plotly() -> str:
    """The source of plotly.js, which the page holds once."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _parts(record: Record) -> Iterator[Part]:
    """The sections of the run's family with what it has for them; then other figures."""
    layout = contents.MODALITIES if record.family == "modalities" else contents.MIXTURE
    pictures = list(find_pictures(record.folder, "figures"))
    for section in layout:
        own = [
            Picture(one.name, one.source, caption)
            for one in pictures
            if (caption := section.caption(one.name)) is not None
        ]
        pictures = [one for one in pictures if section.caption(one.name) is None]
        part = Part(
            section.title,
            charts(record) if (charts := CHARTS.get(section.title)) else [],
            traversals(record) if section.title == contents.STATES else [],
            own,
            [t for name, title in section.tables.items() for t in _table(record, name, title)],
        )
        if part.charts or part.sliders or part.pictures or part.tables:
            yield part
    if pictures:
        yield Part("Other figures", [], [], pictures, [])


def _data(record: Record) -> str:
    """What the run was trained on: the sizes of the splits, and files."""
    data = record.data
    name = record.summary.get("data_sizes") or str(data.get("_target_", "")).rpartition(".")[2]
    files_of = [data[key] for key in ("path", "modalities") if data.get(key)]
    return ", ".join([str(name).replace("DataModule", ""), *map(_words, files_of)])


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(item)}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _commands(record: Record) -> dict[str, str]:
    """Command lines to repeat, resume, test and use the run."""
    run = shlex.quote(str(record.folder))
    commands: dict[str, str] = {}
    repeat = record.provenance.get("command")
    if repeat:
        words = repeat if isinstance(repeat, str) else shlex.join(map(str, repeat))
        # A folder that holds a run takes no other.
        commands["Repeat, in a new folder"] = re.sub(r" ('run_dir=[^']*'|run_dir=\S+)", "", words)
    if record.status in ("interrupted", "running", "failed"):
        commands["Resume"] = f"python -m mixvae.train resume={run}"
    if record.status == "finished":
        commands["Test again"] = f"python -m mixvae.evaluate run={run}"
        path = record.data.get("path")
        if "cell" in str(record.data.get("_target_", "")).lower():
            cells = shlex.quote(f"data.path={path if isinstance(path, str) else 'CELLS.h5ad'}")
            commands["Annotate"] = f"python -m mixvae.annotate run={run} {cells} out=annotated.h5ad"
        elif record.family == "modalities":
            commands["Impute"] = (
                f"python -m mixvae.impute run={run} 'data.modalities={{NAME: FILE}}'"
                " out=imputed.npz"
            )
        elif path is not None:
            other = f"python -m mixvae.evaluate run={run} data.path=OTHERS name=NAME"
            commands["Test on other data"] = other
    return commands


def find_pictures(base: Path, folder: str = ".") -> Iterator[Picture]:
    """The PNG files of a folder in `base`, inside the page while there is room."""
    size = 0
    for path in sorted((base / folder).glob("*.png")):
        content = path.read_bytes()
        size += len(content)
        source = "data:image/png;base64," + base64.b64encode(content).decode()
        if size > LARGEST_PICTURES:
            source = path.relative_to(base).as_posix()
        yield Picture(path.stem, source)


def _table(record: Record, name: str, title: str) -> list[Table]:
    """The first rows of a CSV file of the run; none if it is missing or empty."""
    try:
        rows = read_table(record.folder / name)
    except (OSError, ValueError):  # half-written, or of another encoding
        record.problems.append(f"{name} cannot be read")
        return []
    if not rows:
        return []
    shown = [[_short(cell) for cell in row.values()] for row in rows[:MOST_ROWS]]
    return [Table(title, list(rows[0]), shown, len(rows))]


def _short(cell: str) -> str:
    """A number with at most five digits; other texts as they are."""
    try:
        return f"{float(cell):.5g}" if "." in cell and len(cell) > 6 else cell
    except ValueError:
        return cell


def _values(record: Record) -> list[tuple[str, Any]]:
    """Test values of the summary, those over all agents or modalities first."""
    found = [
        (name, value)
        for name, value in record.summary.items()
        if name.startswith("test/") and isinstance(value, int | float)
    ]
    return sorted(found, key=lambda item: (item[0].count("/"), item[0]))
