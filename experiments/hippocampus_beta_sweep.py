"""Every multimodal method on the rats over beta and seeds: one table, and the paper's figure 3.

    python -m experiments.hippocampus_beta_sweep
    python -m experiments.hippocampus_beta_sweep --full --seeds 0 1 2
    python -m experiments.hippocampus_beta_sweep --seeds 0 --recordings 1 2 3

The runs are `python -m mixvae.train -m +experiment=hippocampus_mmvm model=... model.beta=...
seed=...`, one multirun (a second one for the autoencoder, which has no beta). The same command goes
on where it stopped; with more seeds, betas or methods it runs what is missing. `--full` adds the
paper's grid. `--recordings` are seeds of the simulator: settings were chosen on recording 0. Each
method's best beta is the one with the best probe accuracy on validation trials.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import beta_curves
from experiments.modality_runs import METHODS, complete, grid
from experiments.reports import exit_status, headline, options

RUNS = Path("runs", "hippocampus_beta_sweep")
RESULTS = Path(__file__).parent / "results" / "hippocampus"
# The methods' optima on the simulator; the paper's grid lies below.
BETAS = (0.1, 0.3, 1.0, 1.5)
PAPER_BETAS = (1e-5, 1e-4, 1e-3, 2.5e-3, 5e-3, 1e-2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train missing runs, and write the table, the CSV and the figure."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = options(__doc__, RUNS, RESULTS)
    parser.add_argument("--full", action="store_true", help="also the paper's grid of betas")
    parser.add_argument("--betas", type=float, nargs="+", help="a grid of your own")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--recordings", type=int, nargs="+", default=[0], help="of the simulator")
    chosen = parser.parse_args(given)
    betas = chosen.betas or ((*PAPER_BETAS, *BETAS) if chosen.full else BETAS)
    jobs = grid(chosen.methods, betas, chosen.seeds, chosen.recordings)
    records = complete(jobs, chosen.runs, chosen.overrides)
    if records:
        head = headline("hippocampus_beta_sweep", given, records.values())
        print(beta_curves.write(records, chosen.results, "beta_sweep", head))
    return exit_status(len(records), len(jobs))


if __name__ == "__main__":
    sys.exit(main())
