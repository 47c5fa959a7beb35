"""Shared by the tables of experiments: options, a headline, rows of text, a CSV of every run."""

from __future__ import annotations

import argparse
import csv
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from mixvae.sweeps.tables import JobRecord


def options(doc: str, runs: Path | None, results: Path) -> argparse.ArgumentParser:
    """The options that every table has; `runs` and `results` are the default folders."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=runs, help="folder of the runs")
    parser.add_argument("--results", type=Path, default=results, help="folder of the tables")
    parser.add_argument("--overrides", nargs="+", default=[], help="for every run, key=value")
    return parser


def exit_status(done: int, asked: int) -> int:
    """1 if runs are missing, which is printed; else 0."""
    if done < asked:
        print(f"{asked - done} of {asked} runs are missing; see above why", file=sys.stderr)
    return int(done < asked)


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and sample standard deviation as text."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def headline(module: str, arguments: Sequence[str], records: Iterable[JobRecord]) -> str:
    """The command, date, machine and number of runs.

    Args:
        module: The script, `experiments.<module>`.
        arguments: Its command line.
        records: The reported runs.
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
        runs: The runs, by their settings.
        keys: Names of the settings, a column each.
    """
    metrics = sorted({name for record in runs.values() for name in record.metrics})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*keys, *metrics])
        for setting, record in runs.items():
            writer.writerow([*setting, *(record.metrics.get(name, "") for name in metrics)])
