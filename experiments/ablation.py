"""The effect of each part that mixvae adds to cpl-mixVAE: one run per variant and seed, one table.

    python -m experiments.ablation mnist_cpl --seeds 0 1 2
    python -m experiments.ablation digits_cpl --seeds 0 1 2 3 4

Each run is `python -m mixvae.train +experiment=<experiment> seed=<seed> <the variant's overrides>`
in a separate process. Finished runs are kept: the same command resumes where it stopped, and
rewrites the table from the finished runs. Accuracies are those of the agents' vote on the test set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.reports import markdown, options, spread, write_table
from experiments.single_runs import finished, train

RESULTS = Path(__file__).parent / "results" / "ablation"
VARIANTS: dict[str, list[str]] = {
    "as shipped": [],
    "without adversarial consistency": ["model.adversarial_weight=0"],
    "without affine consistency": ["model.consistency_weight=0"],
    "without information": ["model.information_weight=0", "model.best_agents=null"],
    "without alignment": ["model.align_epochs=[]", "model.best_agents=null"],
    "without coupling": ["model.coupling_weight=0"],
    "all agents kept": ["model.best_agents=null"],
    "one agent": ["model.num_agents=1"],
}
COLUMNS = {
    "test/accuracy": "accuracy",
    "test/nmi": "NMI",
    "test/ari": "ARI",
    "test/consensus": "consensus",
    "test/populated_categories": "populated",
    "test/reconstruction": "reconstruction (nats)",
    "seconds": "seconds",
}


def run_folder(root: Path, variant: str, seed: int) -> Path:
    """Folder of the run of a variant and seed; its name has no signs of the command line."""
    return root / re.sub(r"\W+", "_", variant).strip("_") / f"seed{seed}"


def run(
    experiment: str,
    root: Path,
    variant: str,
    seed: int,
    extra: Sequence[str],
    variants: Mapping[str, Sequence[str]] = VARIANTS,
) -> None:
    """Train one variant unless it is finished; an interrupted run is resumed."""
    folder = run_folder(root, variant, seed)
    train(experiment, folder, seed, [*variants[variant], *extra])


def table(summaries: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Markdown table, a row for each variant: mean ± sd over its seeds."""
    rows = []
    for variant, by_seed in summaries.items():
        cells = [variant, " ".join(map(str, sorted(by_seed)))]
        for name in COLUMNS:
            values = [summary[name] for summary in by_seed.values() if name in summary]
            cells.append(spread(values, 0 if name == "seconds" else 3) if values else "")
        if by_seed:
            rows.append(cells)
    return markdown(["variant", "seeds", *COLUMNS.values()], rows)


def report(
    root: Path,
    variants: Sequence[str],
    seeds: Sequence[int],
    path: Path,
    module: str,
    arguments: Sequence[str] | None,
) -> None:
    """Write and print the table of the finished runs below `root`."""
    summaries = {
        variant: {
            seed: summary
            for seed in seeds
            if (summary := finished(run_folder(root, variant, seed))) is not None
        }
        for variant in variants
    }
    write_table(path, module, arguments, table(summaries))


def main(
    arguments: Sequence[str] | None = None,
    variants: Mapping[str, Sequence[str]] = VARIANTS,
    module: str = "ablation",
) -> None:
    """Train missing runs and write the table; `module` is the script that a reader should call."""
    parser = options(__doc__, None, RESULTS)
    parser.add_argument("experiment", help="a file of conf/experiment, such as mnist_cpl")
    parser.add_argument("--variants", nargs="+", choices=list(variants), default=list(variants))
    given = parser.parse_args(arguments)
    root = given.runs or Path("runs", "ablation", given.experiment)
    for seed in given.seeds:
        for variant in given.variants:
            run(given.experiment, root, variant, seed, given.overrides, variants)
    path = given.results / f"{given.experiment}.md"
    report(root, given.variants, given.seeds, path, module, arguments)


if __name__ == "__main__":
    main()
