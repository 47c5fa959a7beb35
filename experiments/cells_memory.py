"""Memory and time of large sets of cells: `python -m experiments.cells_memory [CASE ...]`.

Each case writes synthetic cells to a temporary file, trains on it with `python -m mixvae.train` in
a process of its own, prints the largest resident memory of that process and the seconds of an
epoch, and removes the file. It needs up to 3 GB of disk and some minutes. `million` and
`million_backed` train some steps of an epoch on 1,000,000 cells, 2,000 genes, 100 values stored of
a cell, and say how fast their batches are read; `--file` keeps such a file between cases.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.measured_process import GIB, measure


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        cells: Arguments of `generate_cells`; large counts are rarer than in small sets.
        settings: What the command line says beside the file.
        limit: Most GiB that the process may hold; None where it is only reported.
        many: Whether the cells are those of `many_cells`, and reading them is measured.
    """

    cells: dict[str, float]
    settings: tuple[str, ...] = ()
    limit: float | None = None
    many: bool = False


MILLION: dict[str, float] = {"num_cells": 1_000_000, "num_genes": 2000}
SOME_STEPS = ("data.epoch_steps=100", "data.val_fraction=0.01", "data.test_fraction=0.01")
MANY = {"num_cells": 100_000, "num_genes": 2000, "depth": 0.3, "dropout": 0.0}
SMARTSEQ = {"num_cells": 22_365, "num_genes": 5032, "num_types": 115, "depth": 2.0, "dropout": 0.5}
CASES = {
    "memory": Case(MANY, limit=4.0),
    "backed": Case(MANY, ("data.backed=true",), limit=2.0),
    "smartseq": Case(
        SMARTSEQ,
        ("data.batch_size=5000", "model.num_agents=2", "model.num_categories=120"),
    ),
    "million": Case(MILLION, SOME_STEPS, limit=3.0, many=True),
    "million_backed": Case(MILLION, (*SOME_STEPS, "data.backed=true"), limit=2.0, many=True),
}
COMMON = (
    "data.label_key=type",
    "logger.wandb=null",
    "num_threads=1",
    "+callbacks.started._target_=experiments.measured_process.Started",
)


def write_file(path: Path, cells: dict[str, float], many: bool = False) -> None:
    """Write synthetic cells, in a process of its own: its memory is not counted.

    Args:
        path: File to write.
        cells: Arguments of `generate_cells`, or of `write_many`.
        many: Whether they are of the latter.
    """
    code = "import json, sys; from pathlib import Path;"
    if many:
        code += (
            "from experiments.many_cells import write_many;"
            "write_many(Path(sys.argv[1]), **json.loads(sys.argv[2]))"
        )
    else:
        code += (
            "from mixvae.data.cells.generator import generate_cells;"
            "from mixvae.data.cells.synthetic import write_cells;"
            "write_cells(generate_cells(**json.loads(sys.argv[2])), Path(sys.argv[1]))"
        )
    subprocess.run([sys.executable, "-c", code, str(path), json.dumps(cells)], check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the cases and print a line for each.

    Args:
        arguments: The command line; None takes the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--experiment", default="cells_cpl", help="empty for none")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--file", type=Path, help="of `million`: made if missing, and kept")
    options, overrides = parser.parse_known_args(arguments)
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown case {unknown.pop()}; choose of {', '.join(CASES)}")
    chosen = [f"+experiment={options.experiment}"] if options.experiment else []
    for name in options.cases or [name for name, case in CASES.items() if not case.many]:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as folder:
            path, run = Path(folder) / "cells.h5ad", Path(folder) / "run"
            path = options.file if case.many and options.file else path
            if not path.exists():
                write_file(path, case.cells, case.many)
            command = [sys.executable, "-m", "mixvae.train", *chosen]
            command += [
                *([] if case.many else ["data=cells", "data.layer=counts"]),
                *COMMON,
                *case.settings,
                f"data.path={path}",
                f"run_dir={run}",
            ]
            command += [f"trainer.max_epochs={options.epochs}", *overrides]
            started = time.monotonic()
            measured = measure(command)
            total = time.monotonic() - started
            size = path.stat().st_size / GIB
            read = _reading(path, "data.backed=true" in case.settings) if case.many else ""
        limit = "" if case.limit is None else f" (at most {case.limit:g})"
        epochs = ", ".join(f"{seconds:.1f}" for seconds in measured.seconds) or "not logged"
        print(
            f"{name}: file {size:.2f} GiB; largest resident memory {measured.gib:.2f} GiB{limit};"
            f" start {measured.start:.1f} s of processor, {measured.start_gib:.2f} GiB;"
            f" epochs {epochs} s; whole run {total:.0f} s, {measured.processor:.0f} s of"
            f" processor{read}",
            flush=True,
        )


def _reading(path: Path, backed: bool) -> str:
    """Measure in a process of its own how fast batches are read."""
    command = [sys.executable, "-m", "experiments.many_cells", str(path), "--cells", "100000"]
    found = subprocess.run(
        [*command, *(["--backed"] if backed else [])], check=True, capture_output=True, text=True
    )
    told = json.loads(found.stdout.splitlines()[-1])
    return f"; batches alone {told['cells_per_second']:,.0f} cells a second of processor"


if __name__ == "__main__":
    main()
