"""Do agents profit from a learned augmenter? Its copies against noise, affine copies and none.

    python -m experiments.augmenter_agents digits --seeds 0 1 2
    python -m experiments.augmenter_agents cells --seeds 0 1 2

For each seed it trains an augmenter on the training samples (`digits_augmenter`, `cells_augmenter`)
and then the agents, one run per variant, everything else as shipped; finished runs are kept. The
cells are those of data.cells_seed 0 for all seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.ablation import report, run
from experiments.reports import options
from experiments.single_runs import train

RESULTS = Path(__file__).parent / "results" / "augmenter_agents"
AUGMENTER = "AUGMENTER"  # in a variant: the folder of the seed's augmenter


@dataclass(frozen=True)
class Case:
    """One data set.

    Attributes:
        experiment: The agents' experiment.
        augmenter: The augmenter's experiment.
        augmenter_overrides: Overrides of its run.
        variants: Overrides of the agents' runs, by name.
    """

    experiment: str
    augmenter: str
    augmenter_overrides: tuple[str, ...]
    variants: dict[str, list[str]]


LEARNED = ["augmenter=learned", f"augmenter.checkpoint={AUGMENTER}"]
ALONE = ["model.adversarial_weight=0", "model.consistency_weight=1000"]
CASES = {
    "digits": Case(
        "digits_cpl",
        "digits_augmenter",
        (),
        {
            "affine copies (as shipped)": [],
            "no copies": ["augmenter=none", "model.consistency_weight=0"],
            "noise": ["augmenter=noise", "augmenter.scale=0.1"],
            "learned copies": LEARNED,
            "learned copies at twice the distance": [*LEARNED, "augmenter.scale=2"],
        },
    ),
    "cells": Case(
        "cells_synthetic_cpl",
        "cells_augmenter",
        ("data=cells_synthetic_10k", "trainer.max_epochs=45"),
        {
            "adversary (as shipped)": [],
            "neither": ["model.adversarial_weight=0"],
            "noise in its place": ["augmenter=noise", "augmenter.scale=0.5", *ALONE],
            "learned copies in its place": [*LEARNED, *ALONE],
            "learned copies beside it": [*LEARNED, "model.consistency_weight=500"],
        },
    ),
}


def with_augmenter(variants: dict[str, list[str]], folder: Path) -> dict[str, list[str]]:
    """The variants with the folder of an augmenter in them."""
    return {
        name: [line.replace(AUGMENTER, str(folder)) for line in lines]
        for name, lines in variants.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train missing runs and write the table."""
    names = [name for case in CASES.values() for name in case.variants]
    parser = options(__doc__, Path("runs/augmenter_agents"), RESULTS)
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("--variants", nargs="+", choices=names)
    given = parser.parse_args(arguments)
    case, root = CASES[given.case], given.runs / given.case
    chosen = [name for name in case.variants if name in (given.variants or names)]
    for seed in given.seeds:
        folder = root / "augmenter" / f"seed{seed}"
        train(case.augmenter, folder, seed, [*case.augmenter_overrides, "logger=csv"])
        variants = with_augmenter(case.variants, folder)
        for variant in chosen:
            run(case.experiment, root, variant, seed, given.overrides, variants)
    path = given.results / f"{given.case}.md"
    report(root, chosen, given.seeds, path, "augmenter_agents", arguments)


if __name__ == "__main__":
    main()
