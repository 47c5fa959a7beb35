"""The objective of MMVM against beta, and the autoencoders it rises to: the paper's figure 5.

    python -m experiments.objective_bound
    python -m experiments.objective_bound --seeds 0 --betas 1e-5 1e-3 1e-1

The objective is E = -(reconstruction + beta * regulariser), summed over rats, in nats per event. In
training it is the mean over the last epoch, with sampled latents; on test trials it is taken at the
posterior means. Its bound is the negative summed squared error of autoencoders with the same
networks. The runs are those of experiments.hippocampus_beta_sweep: what is there is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from experiments.hippocampus_beta_sweep import RESULTS, RUNS
from experiments.modality_runs import Job, complete, grid
from experiments.reports import exit_status, markdown, options
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Train missing runs, and write the table and the figure."""
    parser = options(__doc__, RUNS, RESULTS)
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS))
    chosen = parser.parse_args(arguments)
    jobs = grid(["mmvm", "ae"], sorted(chosen.betas), chosen.seeds)
    records = complete(jobs, chosen.runs, chosen.overrides)
    if exit_status(len(records), len(jobs)):
        return 1
    found = {
        beta: {
            split: Spread.of([objective(j, r, split) for j, r in records.items() if j.beta == beta])
            for split in SPLITS
        }
        for beta in (*sorted(chosen.betas), None)
    }
    bounds = found.pop(None)
    betas = [beta for beta in found if beta is not None]
    lines = []
    rows = [("autoencoders", bounds), *((f"{beta:g}", found[beta]) for beta in betas)]
    for name, values in rows:
        cells = [f"{values[split].mean:.1f} ± {values[split].deviation:.1f}" for split in SPLITS]
        lines.append([name, *cells])
    text = markdown(["beta", *SPLITS], lines).replace(" ± nan", "")
    chosen.results.mkdir(parents=True, exist_ok=True)
    head = f"Objective, nats per event, mean ± sd over seeds {chosen.seeds}\n\n"
    (chosen.results / "objective_bound.md").write_text(head + text + "\n", "utf-8")
    figure = objective_curve(betas, {s: [found[b][s] for b in betas] for s in SPLITS}, bounds)
    figure.savefig(chosen.results / "objective_bound.png", bbox_inches="tight", pad_inches=0.1)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
