"""The table and the parallel coordinates of a sweep."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from mixvae.reports.charts import Chart

MOST_COLUMNS = 14
# Metrics that people compare, before all others.
FIRST = ("test/accuracy", "test/ari", "test/nmi", "test/consensus", "test/probe_accuracy",
         "test/coherence", "test/reconstruction", "val/loss")  # fmt: skip


def shown_columns(jobs: Sequence[dict[str, str]]) -> list[str]:
    """The columns of the table: the job, the keys that differ, then metrics over all agents."""
    names = list(jobs[0])
    settings = [n for n in names if "/" not in n and len({job.get(n) for job in jobs}) > 1]
    kept = [n for n in names if n in ("job", "status")]
    metrics = [n for n in FIRST if n in names]
    found = dict.fromkeys([*kept, *settings, *metrics])
    return list(found)[:MOST_COLUMNS]


def parallel_coordinates(jobs: Sequence[dict[str, str]], columns: Sequence[str]) -> list[Chart]:
    """A line for each job through its settings and metrics; none for fewer than two jobs."""
    axes = [axis for name in columns if (axis := _axis(jobs, name)) is not None]
    if len(jobs) < 2 or len(axes) < 2:
        return []
    colour = axes[-1]["values"]
    line = {"color": colour, "colorscale": "Cividis", "showscale": True}
    data: dict[str, Any] = {"type": "parcoords", "dimensions": axes, "line": line}
    return [Chart("Settings and metrics", f"{len(jobs)} jobs, a line each.", [data], {})]


def _axis(jobs: Sequence[dict[str, str]], name: str) -> dict[str, Any] | None:
    """The values of a column as an axis: numbers, or words in their order."""
    words = [job.get(name, "") for job in jobs]
    if name in ("job", "status", "folder", "overrides") or len(set(words)) < 2:
        return None
    label = html.escape(name)
    try:
        return {"label": label, "values": [float(word) for word in words]}
    except ValueError:
        kinds = sorted(set(words))
        ticks = {"tickvals": list(range(len(kinds))), "ticktext": [html.escape(k) for k in kinds]}
        return {"label": label, "values": [kinds.index(word) for word in words], **ticks}
