"""The objective of MMVM against beta, and the autoencoders it rises to: the paper's figure 5.

    python -m experiments.objective_bound
    python -m experiments.objective_bound --seeds 0 --betas 1e-5 1e-3 1e-1

The objective is E = -(reconstruction + beta * regulariser), summed over rats, in nats per event. In
training it is the mean over the last epoch, with sampled latents; on test trials it is taken at the
posterior means. Its bound is the negative summed squared error of autoencoders with the same
networks. The runs are those of experiments.hippocampus_beta_sweep: what is there is used.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.hippocampus_beta_sweep import RESULTS, RUNS
from experiments.rat_runs import Job, complete, grid
from experiments.tradeoff import Spread, objective_curve
from mixvae.sweeps.tables import JobRecord

BETAS = (1e-4, 1e-2, 0.1, 0.3, 1.0, 1.5)
SPLITS = ("training, last epoch", "test trials")


def objective(job: Job, record: JobRecord, split: str) -> float:
    """The objective of a run, nats per event, to be maximised."""
    metrics = record.metrics
    if split == SPLITS[0]:
        return -metrics["train/loss"]
    return -(metrics["test/reconstruction"] + (job.beta or 0.0) * metrics["test/kl"])


def average(values: Sequence[float]) -> Spread:
    """Mean and sample deviation."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if values[1:] else math.nan)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the table")
    parser.add_argument("--overrides", nargs="+", default=[], help="for every run, key=value")
    options = parser.parse_args(arguments)
    jobs = grid(["mmvm", "ae"], sorted(options.betas), options.seeds)
    records = complete(jobs, options.runs, options.overrides)
    if len(records) < len(jobs):
        print(f"{len(jobs) - len(records)} of {len(jobs)} runs are missing", file=sys.stderr)
        return 1
    found = {
        beta: {
            split: average([objective(j, r, split) for j, r in records.items() if j.beta == beta])
            for split in SPLITS
        }
        for beta in (*sorted(options.betas), None)
    }
    bounds = found.pop(None)
    betas = [beta for beta in found if beta is not None]
    lines = ["| beta | " + " | ".join(SPLITS) + " |", "|---|---|---|"]
    rows = [("autoencoders", bounds), *((f"{beta:g}", found[beta]) for beta in betas)]
    for name, values in rows:
        cells = [f"{values[split].mean:.1f} ± {values[split].deviation:.1f}" for split in SPLITS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines).replace(" ± nan", "")
    options.results.mkdir(parents=True, exist_ok=True)
    head = f"Objective, nats per event, mean ± sd over seeds {options.seeds}\n\n"
    (options.results / "objective_bound.md").write_text(head + text + "\n", "utf-8")
    figure = objective_curve(betas, {s: [found[b][s] for b in betas] for s in SPLITS}, bounds)
    figure.savefig(options.results / "objective_bound.png", bbox_inches="tight", pad_inches=0.1)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
