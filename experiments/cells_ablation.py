"""The effect of each part on synthetic cells: one run per variant and seed, one table.

    python -m experiments.cells_ablation cells_synthetic_cpl --seeds 0 1 2

As `experiments.ablation`, whose parts suit images, with the parts that matter for cells. The cells
are those of data.cells_seed 0 for all seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

from experiments import ablation

VARIANTS: dict[str, list[str]] = {
    "as shipped": [],
    "without adversarial consistency": ["model.adversarial_weight=0"],
    "adversary in units of the data": ["model.adversary.standardise=false"],
    "noise consistency beside it": [
        "augmenter=noise",
        "augmenter.scale=0.5",
        "model.consistency_weight=500",
    ],
    "without information": ["model.information_weight=0"],
    "without spare categories": ["model.num_categories=10"],
    "without alignment": ["callbacks.merging.align=false"],
    "without coupling": ["model.coupling_weight=0"],
    "without components": ["networks=mlp_small"],
    "one agent": ["model.num_agents=1"],
    "the paper objective alone": [
        "callbacks=cells",
        "~callbacks.merging",
        "networks=mlp_small",
        "augmenter=noise",
        "augmenter.scale=0.5",
        "model.num_categories=10",
        "model.num_agents=2",
        "model.entropy_weight=1",
        "model.coupling_weight=1",
        "model.adversarial_weight=0",
        "model.information_weight=0",
    ],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train missing runs and write the table."""
    ablation.main(arguments, VARIANTS, "cells_ablation")


if __name__ == "__main__":
    main()
