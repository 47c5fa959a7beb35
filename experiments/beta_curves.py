"""The table and the curves of multimodal methods over the weight of their regulariser."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from experiments.modality_runs import METHODS, Job
from experiments.reports import markdown, write_runs
from experiments.tradeoff import Point, Spread, tradeoff
from mixvae.sweeps.tables import JobRecord

CHOSEN_BY = "val/probe_accuracy"
# Name in the table and decimals of each measure.
COLUMNS = {
    "test/probe_accuracy": ("probe", 3),
    "test/probe_accuracy/joint": ("joint probe", 3),
    "test/shared_probe_accuracy": ("shared probe", 3),
    "test/private_r2": ("private R²", 3),
    "test/private_phase_r2": ("phase R²", 3),
    "test/private_gain_r2": ("gain R²", 3),
    "test/private_state_r2": ("state R²", 3),
    "test/coherence": ("coherence", 3),
    "test/self_coherence": ("self-coherence", 3),
    "test/reconstruction": ("reconstruction", 1),
    "test/imputation": ("imputation", 1),
    "test/kl": ("regulariser", 2),
    "seconds": ("seconds", 0),
}
PANELS = {
    "test/probe_accuracy": "probe of the shared part: accuracy, unimodal latents",
    "test/private_r2": "probe of the private part: R²",
    "test/coherence": "coherence of decoded modalities",
}

Setting = tuple[str, float | None]
Records = Mapping[Job, JobRecord]


def spread(records: Records, setting: Setting, measure: str) -> Spread | None:
    """Mean and sample deviation over seeds; None where no run has the measure."""
    values = [
        record.metrics[measure]
        for job, record in records.items()
        if (job.method, job.beta) == setting and measure in record.metrics
    ]
    return Spread.of(values) if values else None


def settings(records: Records) -> list[Setting]:
    """Methods and betas that have runs: methods in their order, betas growing."""
    found = {(job.method, job.beta) for job in records}
    return sorted(found, key=lambda item: (METHODS.index(item[0]), item[1] or 0.0))


def best(records: Records) -> list[Setting]:
    """For each method the beta with the highest mean of `CHOSEN_BY`."""
    chosen: dict[str, Setting] = {}
    for setting in settings(records):
        value = spread(records, setting, CHOSEN_BY)
        rival = spread(records, chosen[setting[0]], CHOSEN_BY) if setting[0] in chosen else None
        if value is not None and (rival is None or value.mean > rival.mean):
            chosen[setting[0]] = setting
    return list(chosen.values())


def table(
    records: Records, rows: Sequence[Setting], keys: Sequence[str] = ("seed", "recording")
) -> str:
    """Markdown table, a row for each setting: mean ± sd over its runs.

    Args:
        records: The runs.
        rows: Methods and betas.
        keys: Attributes of jobs that a row lists. Measures that no run has are left out.
    """
    measures = [name for name in COLUMNS if any(name in run.metrics for run in records.values())]
    lines = []
    for method, beta in rows:
        jobs = [job for job in records if (job.method, job.beta) == (method, beta)]
        cells = [method, "" if beta is None else f"{beta:g}"]
        cells += [" ".join(map(str, sorted({getattr(job, key) for job in jobs}))) for key in keys]
        for measure in measures:
            cells.append(_text(spread(records, (method, beta), measure), COLUMNS[measure][1]))
        lines.append(cells)
    names = [COLUMNS[measure][0] for measure in measures]
    return markdown(["method", "beta", *(f"{key}s" for key in keys), *names], lines)


def _text(value: Spread | None, digits: int) -> str:
    if value is None:
        return ""
    mean = f"{value.mean:.{digits}f}"
    return mean if math.isnan(value.deviation) else f"{mean} ± {value.deviation:.{digits}f}"


def curves(records: Records) -> dict[str, list[Point]]:
    """The points of the figure: for each method, one for each beta."""
    found: dict[str, list[Point]] = {}
    for setting in settings(records):
        cost = spread(records, setting, "test/reconstruction")
        gains = {text: spread(records, setting, measure) for measure, text in PANELS.items()}
        known = {text: gain for text, gain in gains.items() if gain is not None}
        if cost is not None:
            found.setdefault(setting[0], []).append(Point(setting[1], cost, known))
    return found


def write(
    records: Records,
    folder: Path,
    name: str,
    head: str,
    keys: Sequence[str] = ("seed", "recording"),
) -> str:
    """Write `<name>.md`, a CSV of every metric of every run, and the figure.

    Args:
        records: The runs, at least one.
        folder: Made if missing.
        name: Of the files, without a suffix.
        head: The command, date and machine.
        keys: See `table`.

    Returns:
        The table of each method at its best beta, with its heading.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = (
        f"Each method at its best beta, by `{CHOSEN_BY}`:\n\n{table(records, best(records), keys)}"
    )
    every = f"All:\n\n{table(records, settings(records), keys)}"
    (folder / f"{name}.md").write_text("\n\n".join([head, chosen, every]) + "\n", "utf-8")
    runs = {_row(job, keys): record for job, record in records.items()}
    write_runs(folder / f"{name}.csv", runs, ("method", "beta", *keys))
    points = curves(records)
    drawn = {text for one in points.values() for point in one for text in point.gains}
    panels = [text for text in PANELS.values() if text in drawn]
    if panels:
        figure = tradeoff(points, panels, "reconstruction (nats per event)")
        figure.savefig(folder / f"{name}.png", bbox_inches="tight", pad_inches=0.1)
    return chosen


def _row(job: Job, keys: Iterable[str]) -> tuple[str, ...]:
    beta = "" if job.beta is None else str(job.beta)
    return (job.method, beta, *(str(getattr(job, key)) for key in keys))
