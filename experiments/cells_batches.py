"""Batch effects of known size: types found with and without `data.batch_key`, and without effect.

    python -m experiments.cells_batches --seeds 0 1 2

Simulated cells of two or three batches: every gene of a batch changes by a factor of its own, and
by another one in each type; in `missing` a batch lacks two types. Each is trained on as it is,
with `data.batch_key=batch`, and without the effect. `ARI` is between annotated categories and types
over all cells; `batch` is that between categories and batches within types, 0 where they mix.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from experiments.single_runs import train
from mixvae.annotate import annotate

CASES = {
    "mild": {"num_batches": 3, "effect": 0.5, "own": 0.2, "missing": {}},
    "missing": {"num_batches": 2, "effect": 0.8, "own": 0.2, "missing": {1: [0, 1]}},
    "strong": {"num_batches": 2, "effect": 1.2, "own": 0.3, "missing": {}},
}


def simulate(
    num_batches: int,
    effect: float,
    own: float,
    missing: dict[int, list[int]],
    *,
    seed: int = 0,
    num_cells: int = 1500,
    num_genes: int = 300,
    num_types: int = 6,
) -> Any:
    """Counts of cells of types and batches, the same cells without the effect in a layer.

    Args:
        effect: Deviation of the log factor of a gene in a batch.
        own: Deviation of the log factor of a gene in a batch and type.
        missing: Types that each batch lacks; their cells are of batch 0.
    """
    import anndata
    import pandas

    random = np.random.default_rng(seed)
    kind = random.choice(num_types, num_cells, p=random.dirichlet(np.full(num_types, 4.0)))
    batch = random.integers(0, num_batches, num_cells)
    for number, types in missing.items():
        batch[(batch == number) & np.isin(kind, types)] = 0
    marker = random.random((num_types, num_genes)) < 0.12
    log_mean = random.normal(0, 1.2, num_genes) + marker * random.normal(0, 1.4, marker.shape)
    factor = random.normal(0, effect, (num_batches, num_genes))[:, None]
    factor = factor + random.normal(0, own, (num_batches, num_types, num_genes))
    factor[0] = 0
    library = 2000 * random.lognormal(0, 0.3, num_cells)
    noise = random.gamma(5, 0.2, (num_cells, num_genes))

    def draw(logs: np.ndarray) -> np.ndarray:
        mean = np.exp(logs)
        share = mean / mean.sum(axis=1, keepdims=True)
        return random.poisson(share * library[:, None] * noise).astype(np.float32)

    plain, moved = draw(log_mean[kind]), draw(log_mean[kind] + factor[batch, kind])
    obs = pandas.DataFrame(
        {
            "type": pandas.Categorical([f"T{number}" for number in kind]),
            "batch": pandas.Categorical([f"b{number}" for number in batch]),
        },
        index=[f"cell{number}" for number in range(num_cells)],
    )
    cells = anndata.AnnData(moved, obs=obs)
    cells.layers["plain"] = plain
    return cells


def score(cells: Any, folder: Path, layer: str | None) -> tuple[float, float, int]:
    """ARI with the types, mean over types of the ARI with the batches, and categories."""
    found = annotate(cells, folder, layer=layer).obs["mixvae_category"].to_numpy()
    kind, batch = cells.obs["type"].to_numpy(), cells.obs["batch"].to_numpy()
    within = [
        adjusted_rand_score(batch[kind == one], found[kind == one])
        for one in np.unique(kind)
        if len(set(batch[kind == one])) > 1
    ]
    return float(adjusted_rand_score(kind, found)), float(np.mean(within)), len(set(found))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, and print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--file", type=Path, help="an .h5ad of yours instead, with type and batch")
    parser.add_argument("--runs", type=Path, default=Path("runs", "cells_batches"))
    parser.add_argument("--overrides", nargs="+", default=[], help="for every run, key=value")
    options = parser.parse_args(arguments)
    options.runs.mkdir(parents=True, exist_ok=True)
    print("| case | seed | trained on | ARI | batch | categories |\n|---|---|---|---|---|---|")
    for name in [options.file.stem] if options.file else options.cases:
        for seed in options.seeds:
            path = options.file or options.runs / f"{name}_{seed}.h5ad"
            if options.file is None:
                simulate(**CASES[name], seed=seed).write_h5ad(path)
            for arm, settings in _arms(options.file is not None).items():
                folder = options.runs / f"{name}_{arm}_{seed}"
                settings = [f"data.path={path}", "data.label_key=type", *settings]
                train("cells_cpl", folder, seed, [*settings, *options.overrides])
                layer = "plain" if arm == "plain" else None
                ari, within, count = score(_read(path), folder, layer)
                print(
                    f"| {name} | {seed} | {arm} | {ari:.3f} | {within:.3f} | {count} |", flush=True
                )


def _arms(is_own: bool) -> dict[str, list[str]]:
    plain = {} if is_own else {"plain": ["data.layer=plain"]}
    return {**plain, "effect": [], "corrected": ["data.batch_key=batch"]}


def _read(path: Path) -> Any:
    import anndata

    return anndata.read_h5ad(path)


if __name__ == "__main__":
    main()
