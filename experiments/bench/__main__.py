"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from experiments import bench
from experiments.bench import (
    agents,
    distances,
    footprint,
    loading,
    modalities,
    products,
    runs,
    startup,
    training_loop,
)
from experiments.bench.measuring import Setting, compare, machine
from experiments.bench.report import BENCH

RESULTS = Path(__file__).resolve().parents[1] / "results" / "bench"
SOURCES = {
    agents: ("agents", "agents_large", "batches", "categories", "mnist"),
    modalities: ("rats", "modalities", "validation"),
    products: ("products",),
    distances: ("distances",),
    loading: ("loading",),
}
QUICK = ("distances", "loading")
LARGE, LARGE_ROUNDS = "agents_large", 2  # a step of the loop takes seconds


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench",
        description=bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cases", nargs="+", choices=list(BENCH.titles), default=list(BENCH.titles)
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one measurement (0.3)")
    parser.add_argument("--device", type=torch.device, default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"default {RESULTS}")
    given = sys.argv[1:] if argv is None else list(argv)
    args = parser.parse_args(given)
    torch.set_num_threads(args.threads)
    if args.device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # as a run there, see RunConfig
    command = shlex.join(["python", "-m", "experiments.bench", *given])
    page = ""
    for group in args.cases:
        described, rows = machine(args.threads, args.device), []
        for row in measured(group, Setting(args.rounds, args.seconds, args.device)):
            rows.append(row)
            page = BENCH.save(rows, described, command, args.out)
    print(page)


def measured(group: str, setting: Setting) -> Iterator[dict[str, Any]]:
    """The rows of a group's cases."""
    if group == "startup":
        yield from startup.rows(min(setting.rounds, 3))
        return
    if group == "runs":
        yield from runs.rows(setting.rounds)
        return
    if group == "footprint":
        yield from footprint.rows()
        return
    if group in ("training_loop", "epoch"):
        yield from training_loop.rows(setting, group)
        return
    if group in QUICK:
        setting = setting._replace(seconds=setting.seconds / 3)
    if group == LARGE:
        setting = setting._replace(rounds=min(setting.rounds, LARGE_ROUNDS))
    (source,) = (source for source, held in SOURCES.items() if group in held)
    for case in source.cases():
        if case.group == group:
            start = time.monotonic()
            yield compare(case, setting)
            print(f"{case.name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
