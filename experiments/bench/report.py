"""The results as JSON, as Markdown and as one figure of costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mixvae.figures.style import COLOURS, MARKERS, new_figure, tidy

Row = dict[str, Any]
TITLES = {
    "agents": "Training step, cpl-mixVAE at the Smart-seq size, batches of 512",
    "agents_large": "The same, batches of 5,000",
    "batches": "The same, other batch sizes",
    "categories": "The same, other numbers of categories",
    "mnist": "Training step, cpl-mixVAE on MNIST",
    "rats": "Training step, MMVM on five rats",
    "modalities": "Training step, MMVM on many modalities",
    "validation": "A batch of a validation against a training step, MMVM",
    "products": "Training step, and the matrix products of ours alone",
    "distances": "Forward and backward pass of one term",
    "loading": "Loading alone",
    "startup": "Start, seconds",
    "runs": "Whole runs from command to prompt, CPU seconds by phase",
    "training_loop": "An epoch of the trainer against bare steps, seconds",
    "epoch": "An epoch over cells of the Smart-seq size, seconds",
    "footprint": "Largest resident memory of each experiment, whole runs cut short",
}
INTRODUCTION = """\
Medians over rounds in alternation. A ratio is how many times faster a side is than the first one,
with its smallest and largest value; wall is that by the clock. The share is that of the rate of a
large square product (2,048 on a CPU, 8,192 on a GPU) in the same precision and rounds; MB is what
a step takes beside weights and batch."""
WALL = "wall ratio"
WIDE = 20  # ratio of costs from which on a panel is logarithmic
PANELS = (
    ("A", ("agents", "agents_large"), "agents A", "A"),
    ("M", ("modalities",), "modalities M", "M"),
    ("K", ("categories", "agents"), "categories K", "A"),
    ("B", ("batches", "agents", "agents_large"), "batch size B", "A"),
)


class Report(NamedTuple):
    """What a command writes.

    Attributes:
        name: Of its files.
        heading: Of its page.
        titles: The title of each group of cases, in order.
        figure: Draws the rows of all groups.
    """

    name: str
    heading: str
    titles: dict[str, str]
    figure: Callable[[list[Row]], Any]

    def save(self, rows: Sequence[Row], setting: dict[str, Any], command: str, out: Path) -> str:
        """Write `<name>.json`, `.md` and `.png` into `out`, and return the page.

        Cases of groups that were not measured this time stay as they were.
        """
        out.mkdir(parents=True, exist_ok=True)
        file = out / f"{self.name}.json"
        kept = json.loads(file.read_text())["groups"] if file.is_file() else {}
        for group in dict.fromkeys(row["group"] for row in rows):
            own = [row for row in rows if row["group"] == group]
            kept[group] = {"command": command, "setting": setting, "rows": own}
        groups = {name: kept[name] for name in self.titles if name in kept}
        file.write_text(json.dumps({"groups": groups}, indent=1) + "\n")
        page = self._page(groups)
        file.with_suffix(".md").write_text(page)
        figure = self.figure([row for group in groups.values() for row in group["rows"]])
        figure.savefig(file.with_suffix(".png"))
        return page

    def _page(self, groups: dict[str, Any]) -> str:
        """All tables, each with its command and machine."""
        lines = [f"# {self.heading}", "", INTRODUCTION]
        for name, group in groups.items():
            said = ", ".join(f"{key} {value}" for key, value in group["setting"].items())
            lines += ["", f"## {self.titles[name]}", "", *_table(group["rows"]), ""]
            lines += [f"`{group['command']}`: {said}."]
        return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    if "seconds" in rows[0]:
        names = list(rows[0]["seconds"])
        table = [["case", *names, *(["ratio"] if "ratio" in rows[0] else [])]]
        for row in rows:
            values = [f"{row['seconds'][name]:.3g}" for name in names]
            table.append([row["case"], *values, *([_ratio(row)] if "ratio" in row else [])])
    else:
        sides = list(dict.fromkeys(side for row in rows for side in row["sides"]))
        table = [["case", *(word for side in sides for word in _head(side, sides[0], rows[0]))]]
        for row in rows:
            cells = (_cells(row, side, sides[0], rows[0]) for side in sides)
            table.append([row["case"], *(cell for part in cells for cell in part)])
    head, *body = (f"| {' | '.join(cells)} |" for cells in table)
    return [head, "|" + "---|" * len(table[0]), *body]


def _head(side: str, yardstick: str, first: Row) -> list[str]:
    words = [f"{side}, samples/s"]
    if side != yardstick:
        words += ["ratio", *(["wall"] if WALL in first["sides"][yardstick] else [])]
    return [*words, *(["share", "MB"] if first["flops"] else [])]


def _cells(row: Row, side: str, yardstick: str, first: Row) -> list[str]:
    width = len(_head(side, yardstick, first))
    if side not in row["sides"]:
        return ["-"] * width
    found = row["sides"][side]
    cells = [f"{found['samples/s']:,.0f}"]
    if side != yardstick:
        kinds = [kind for kind in ("ratio", WALL) if kind in found]
        cells += [_ratio(found, kind) if yardstick in row["sides"] else "-" for kind in kinds]
    if row["flops"]:
        memory = "-" if found["MB"] is None else f"{found['MB']:,.0f}"
        cells += [f"{found['share']:.0%}", memory]
    return cells


def _ratio(row: Row, kind: str = "ratio") -> str:
    median, low, high = row[kind]
    return f"**{median:.2f}** ({low:.2f}-{high:.2f})"


def cost_figure(rows: Iterable[Row]) -> Any:
    """Time of a training step per sample, and per agent or modality, against A, M, K and B.

    What was measured at one size only is left out.
    """
    rows = [row for row in rows if row.get("flops")]
    figure = new_figure(10.0, 6.5)
    for axes, (axis, groups, label, per) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        sizes = sorted({row[axis] for row in _chosen(rows, axis, groups)})
        if len(sizes) < 2:
            axes.set_axis_off()
            continue
        costs = []
        for number, (size, side) in enumerate(_lines(rows, axis, groups)):
            chosen = [r for r in _chosen(rows, axis, groups) if _kind(r, axis) == size]
            points = sorted(
                (r[axis], 1e6 * r["sides"][side]["seconds"] / r["samples"] / r[per])
                for r in chosen
                if side in r["sides"]
            )
            costs += [cost for _, cost in points]
            name = f"{side}{'' if size is None else f', B {size:,}'}"
            marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
            style = {"marker": marker, "color": colour, "markersize": 4}
            axes.plot(*zip(*points, strict=True), label=name, **style)
        unit = "agent" if per == "A" else "modality"
        tidy(axes, "", label, f"microseconds per sample and {unit}")
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        if max(costs) > WIDE * min(costs):
            axes.set_yscale("log")
            axes.margins(y=0.2)  # room for the legend
        else:
            axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, frameon=False)
    return figure


def ratio_figure(rows: Sequence[Row]) -> Any:
    """The median ratio of each side to the first of its case, and its spread."""
    sides = dict.fromkeys(name for row in rows for name in list(row["sides"])[1:])
    figure = new_figure(8.0, 1.2 + 0.32 * len(rows))
    axes = figure.subplots()
    for number, side in enumerate(sides):
        found = [(y, row["sides"][side]) for y, row in enumerate(rows) if side in row["sides"]]
        y = [y + 0.16 * (number - (len(sides) - 1) / 2) for y, _ in found]
        ratios = [one["ratio"] for _, one in found]
        width = [[m - low for m, low, _ in ratios], [high - m for m, _, high in ratios]]
        style = {"fmt": MARKERS[number], "color": COLOURS[number], "markersize": 4}
        axes.errorbar([m for m, *_ in ratios], y, xerr=width, label=side, **style)
    axes.axvline(1, color="0.6", linewidth=0.8)
    axes.set_yticks(
        range(len(rows)), [f"{next(iter(row['sides']))}: {row['case']}" for row in rows]
    )
    axes.invert_yaxis()
    tidy(axes, "", "times as fast as the peer: median, smallest and largest")
    axes.set_xlim(left=0)
    axes.legend(fontsize=7, frameon=False)
    return figure


def _chosen(rows: Sequence[Row], axis: str, groups: Sequence[str]) -> list[Row]:
    """The rows of a panel: other sizes than the panel's own are those that all share."""
    found = [row for row in rows if row["group"] in groups]
    return found if axis == "A" else [row for row in found if row.get("A", 2) == 2]


def _kind(row: Row, axis: str) -> int | None:
    return row["B"] if axis == "A" else None


def _lines(rows: Sequence[Row], axis: str, groups: Sequence[str]) -> list[tuple[int | None, str]]:
    chosen = _chosen(rows, axis, groups)
    sides = dict.fromkeys(side for row in chosen for side in row["sides"])
    kinds = sorted({_kind(row, axis) for row in chosen}, key=str)
    return [(kind, side) for kind in kinds for side in sides]


BENCH = Report("bench", "Benchmarks", TITLES, cost_figure)
