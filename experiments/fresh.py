"""A claim on seeds and splits that no setting was chosen on: every run's values, one table.

    python -m experiments.fresh digits_cpl --splits 0 1 2 3 4 5 --seeds 0 1 2
    python -m experiments.fresh mnist_cpl --seeds 11 12 13 14 15

The runs are `python -m mixvae.train -m +experiment=... data.split_seed=... seed=...`. The same
command goes on where it stopped. Settings were chosen on split 0, and on seeds 0 and 1 of MNIST.
Medians and quartiles stand beside means, since several methods fall into basins.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from experiments.multiruns import as_job, complete
from experiments.reports import exit_status, headline, markdown, options, spread, write_runs
from mixvae.sweeps.tables import JobRecord

RUNS = Path("runs", "fresh")
RESULTS = Path(__file__).parent / "results" / "fresh"
COLUMNS = {
    "test/accuracy": "accuracy",
    "test/nmi": "NMI",
    "test/consensus": "consensus",
    "test/aurc": "area under risk-coverage",
}

# A split seed, empty for that of the data's own, and a seed.
Records = Mapping[tuple[str, str], JobRecord]


def rows(records: Records) -> list[list[str]]:
    """A row for each split and one for all but split 0: mean ± sd, median and quartiles."""
    splits = list(dict.fromkeys(split for split, _ in records))
    groups = {split: [r for (s, _), r in records.items() if s == split] for split in splits}
    others = [r for (split, _), r in records.items() if split not in ("", "0")]
    if len(splits) > 1 and others:
        groups["all but 0"] = others
    return [[name, str(len(group)), *_cells(group)] for name, group in groups.items()]


def _cells(group: Sequence[JobRecord]) -> list[str]:
    cells = []
    for measure in COLUMNS:
        values = [record.metrics[measure] for record in group if measure in record.metrics]
        cells.append(spread(values, 4 if measure == "test/aurc" else 3) if values else "")
    low, middle, high = np.quantile([r.metrics["test/accuracy"] for r in group], [0.25, 0.5, 0.75])
    return [*cells, f"{middle:.3f} ({low:.3f}-{high:.3f})"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train missing runs, and write the table and the CSV."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = options(__doc__, RUNS, RESULTS)
    parser.add_argument("experiment", help="a mixture of conf/experiment, such as digits_cpl")
    parser.add_argument("--splits", nargs="+", default=[""], help="values of data.split_seed")
    chosen = parser.parse_args(given)
    jobs = {
        as_job(
            [
                f"+experiment={chosen.experiment}",
                f"seed={seed}",
                *([f"data.split_seed={split}"] if split else []),
                *chosen.overrides,
            ]
        ): (split, str(seed))
        for split, seed in product(chosen.splits, chosen.seeds)
    }
    done = complete(list(jobs), chosen.runs / chosen.experiment)
    records = {jobs[job]: run.record for job, run in done.items()}
    if records:
        chosen.results.mkdir(parents=True, exist_ok=True)
        columns = ["split", "runs", *COLUMNS.values(), "median accuracy (quartiles)"]
        text = f"{headline('fresh', given, records.values())}\n\n{markdown(columns, rows(records))}"
        (chosen.results / f"{chosen.experiment}.md").write_text(text + "\n", encoding="utf-8")
        write_runs(chosen.results / f"{chosen.experiment}.csv", records, ("split", "seed"))
        print(text)
    return exit_status(len(records), len(jobs))


if __name__ == "__main__":
    sys.exit(main())
