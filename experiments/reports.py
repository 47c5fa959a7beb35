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


def command_of(module: str, arguments: Sequence[str] | None) -> str:
    """The command of `experiments.<module>`; without arguments those of this process."""
    given = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["python", "-m", f"experiments.{module}", *given])


def headline(
    module: str, arguments: Sequence[str] | None, records: Iterable[JobRecord] | None = None
) -> str:
    """The command, date and machine, and the number of runs.

    Args:
        module: The script, `experiments.<module>`.
        arguments: Its command line; None: this process's.
        records: The reported runs; None: leave their number out.
    """
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    head = f"`{command_of(module, arguments)}`, {date.today()}, {machine}"
    if records is None:
        return head
    seconds = [record.metrics.get("seconds", 0.0) for record in records]
    return f"{head}: {len(seconds)} runs, {sum(seconds) / 60:.0f} minutes"


def write_table(path: Path, module: str, arguments: Sequence[str] | None, text: str) -> None:
    """Print a table, and write it below its command, date and machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{headline(module, arguments)}\n\n{text}\n", encoding="utf-8")
    print(text)


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
