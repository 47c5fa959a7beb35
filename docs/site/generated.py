"""Pages made from the code: experiments from conf/ and results, the API from mixvae/."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments/results"
# Rooms of the API: title, and modules where not all are for users.
ROOMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "objectives": ("Objectives", ()),
    "modules": ("Models", ()),
    "augmenters": ("Augmenters", ()),
    "networks": ("Networks", ()),
    "data": (
        "Data",
        ("base", "images.digits", "images.mnist", "images.datamodule", "images.dsprites",
         "images.dsprites_rendered", "cells.datamodule", "cells.synthetic", "modalities.cite",
         "modalities.hippocampus", "modalities.glyphs", "modalities.polymnist",
         "modalities.datamodule"),
    ),
    "evaluation": ("Measures", ()),
    "callbacks": ("Callbacks", ()),
    "contracts": ("Contracts", ()),
}  # fmt: skip
FAMILIES = ("digits", "mnist", "images", "dsprites", "cells", "hippocampus", "glyphs", "cite",
            "polymnist", "multimodal")  # fmt: skip


class Source(NamedTuple):
    """Where a result stands: a Markdown file below experiments/results and the start of a row."""

    file: str
    row: tuple[str, ...]
    overrides: str = ""


class Row(NamedTuple):
    """A row of a Markdown table by column, and the line that says how the table was made."""

    cells: dict[str, str]
    made: str


def sources(experiment: str) -> list[Source]:
    """The places where a result of the experiment may stand, the first one that exists counts."""
    data, _, method = experiment.partition("_")
    table = {"dsprites": "dsprites_rendered"}.get(data, data)
    more = "data=dsprites_rendered" if data == "dsprites" else ""
    special = {
        "cells_synthetic_cpl": Source("cells_recovery.md", ("K = 10", "all")),
        "cells_synthetic_order": Source("cells_recovery.md", ("from K = 20", "all")),
        "cells_cpl": Source("cells_pbmc.md", ("cpl-mixVAE",)),
        "cells_augmenter": Source(
            "augmenter_types.md", ("copy",), "data=cells_synthetic_10k trainer.max_epochs=45"
        ),
        "hippocampus_mmvm": Source("hippocampus/beta_sweep.md", ("mmvm",), "model.beta=1"),
    }
    own = [special[experiment]] if experiment in special else []
    return [
        *own,
        Source(f"fresh/{experiment}.md", ("all but 0",)),
        Source(f"fresh/{experiment}.md", ("",)),
        Source(f"mixture_table/{table}.md", (method,), more),
        Source(f"ablation/{experiment}.md", ("as shipped",)),
    ]


def find_row(source: Source) -> Row | None:
    """The first row of the file's tables whose first cells are those of the source."""
    path = RESULTS / source.file
    if not path.is_file():
        return None
    header: list[str] = []
    made = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        made = made or (line if line.startswith("`python") else "")
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif tuple(cells[: len(source.row)]) == source.row:
            return Row(dict(zip(header, cells, strict=False)), made)
    return None


def minutes(cells: dict[str, str]) -> str:
    """Minutes of a run by its seconds, or by those of an epoch; nothing if neither stands there."""

    def number(name: str) -> float | None:
        word = cells.get(name, "").split(" ")[0]
        return float(word) if word else None

    seconds, epoch, epochs = number("seconds"), number("seconds per epoch"), number("epochs")
    if seconds is None and epoch is not None and epochs is not None:
        seconds = epoch * epochs
    return "" if seconds is None else f"{seconds / 60:.1f}"


MEASURED = ("accuracy", "ARI", "NMI", "categories", "clusters", "probe", "coherence",
            "reconstruction (nats)", "reconstruction", "LDA, nearest")  # fmt: skip


def experiments_page() -> str:
    """Every experiment with its command, and its minutes and result where a file has them."""
    lines = [
        "# Every experiment",
        "",
        "This page is made from `conf/experiment` and `experiments/results` when the site is built."
        " An experiment without a figure was not measured over several seeds. Figures are means ±"
        " sample standard deviations over seeds, on test data. Minutes are those of one run on two"
        " cores without a GPU. The commands of the figures, and what they do not show:"
        " [measured results](../measured.md).",
    ]
    paths = sorted((ROOT / "conf/experiment").glob("*.yaml"))
    known = [p for f in FAMILIES for p in paths if p.stem.startswith(f + "_")]
    for path in [*known, *(p for p in paths if p not in known)]:
        lines += ["", f"## {path.stem}", "", *_experiment(path)]
    return "\n".join(lines) + "\n"


def _experiment(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    purpose = next(
        (line.split("purpose:", 1)[1].strip() for line in text.splitlines() if "purpose:" in line),
        "",
    )
    found = ((source, find_row(source)) for source in sources(path.stem))
    source, row = next(((s, r) for s, r in found if r is not None), (Source("", ()), None))
    command = f"python -m mixvae.train +experiment={path.stem} {source.overrides}".strip()
    lines = [purpose[:1].upper() + purpose[1:] + ".", "", "```", command, "```"]
    if row is not None:
        shown = [f"{name} {row.cells[name]}" for name in MEASURED if row.cells.get(name)]
        seeds = row.cells.get("seeds")
        time = minutes(row.cells)
        lines += ["", f"Measured: {', '.join(shown)}."]
        lines[-1] += f" Seeds {seeds}." if seeds else ""
        lines[-1] += f" {time} minutes a run." if time else ""
        lines += ["", f"Source: {row.made}."]
    return lines


def api_page(room: str, title: str, modules: tuple[str, ...]) -> str:
    """The public names of modules in a room; no modules means all."""
    package = import_module(f"mixvae.{room}")
    names = modules or [info.name for info in pkgutil.iter_modules(package.__path__)]
    lines = [f"# {title}", "", "```{eval-rst}", f".. automodule:: mixvae.{room}", ""]
    for name in names:
        heading = f"{room}.{name}"
        lines += [heading, "-" * len(heading), "", f".. automodule:: mixvae.{room}.{name}"]
        lines += ["   :members:", "   :show-inheritance:", ""]
    return "\n".join([*lines, "```"]) + "\n"


def write_pages(docs: Path) -> None:
    """Write all generated pages below `docs/generated`, each only if it changed."""
    folder = docs / "generated"
    folder.mkdir(exist_ok=True)
    pages = {"experiments": experiments_page()}
    pages |= {f"api_{room}": api_page(room, *shown) for room, shown in ROOMS.items()}
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
