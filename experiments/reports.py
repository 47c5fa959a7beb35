"""What the tables of experiments have in common: a headline, rows of text, a CSV of every run."""

from __future__ import annotations

import csv
import os
import platform
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from mixvae.sweeps.tables import JobRecord


def headline(module: str, arguments: Sequence[str], records: Iterable[JobRecord]) -> str:
    """Say what was run, when and where.

    Args:
        module: The script, `experiments.<module>`.
        arguments: Its command line.
        records: The runs that are reported.
    """
    command = shlex.join(["python", "-m", f"experiments.{module}", *arguments])
    seconds = [record.metrics.get("seconds", 0.0) for record in records]
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    runs = f"{len(seconds)} runs, {sum(seconds) / 60:.0f} minutes"
    return f"`{command}`, {date.today()}, {machine}: {runs}"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_runs(path: Path, runs: Mapping[tuple[str, ...], JobRecord], keys: Sequence[str]) -> None:
    """Write every metric of every run.

    Args:
        path: The CSV file.
        runs: The runs, by what tells them apart.
        keys: What that is, a column each.
    """
    metrics = sorted({name for record in runs.values() for name in record.metrics})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*keys, *metrics])
        for setting, record in runs.items():
            writer.writerow([*setting, *(record.metrics.get(name, "") for name in metrics)])
