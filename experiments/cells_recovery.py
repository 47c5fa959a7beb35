"""What cpl-mixVAE finds of synthetic cells whose types, states and genes are known.

    python -m experiments.cells_recovery --seeds 0 1 2

For each seed, of the cells and of the training, it runs `+experiment=cells_synthetic_cpl` (told
that there are ten types) and `+experiment=cells_synthetic_order` (from K = 20), unless they are
done, and measures on the test cells, which training never saw: how well the agents' vote recovers
the types, how the first agent's state follows the true one within each type, and how many of the
first 20 genes of each category's state are the type's programme. Beside them Leiden and k-means on
20 principal components of all cells, Leiden at its best of ten resolutions and at resolution 1.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from experiments.cells_hardness import NUM_COMPONENTS, leiden_scores
from experiments.reports import options, spread, write_table
from experiments.single_runs import train
from mixvae.data.cells.expression import log_cpm
from mixvae.data.cells.generator import SyntheticCells, generate_cells

RESULTS = Path(__file__).parent / "results"
EXPERIMENTS = {"K = 10": "cells_synthetic_cpl", "from K = 20": "cells_synthetic_order"}
NUM_GENES = 20
HIGH = 0.8  # correlation from which on a type's state counts as found
COLUMNS = {
    "ari": "ARI",
    "categories": "categories",
    "populated": "populated",
    "states": f"types with correlation >= {HIGH}",
    "correlation": "correlation, mean over types",
    "precision": f"precision at {NUM_GENES}",
    "seconds": "seconds",
    "leiden_best": "Leiden, best",
    "leiden": "Leiden, resolution 1",
    "kmeans": "k-means",
}


def match_types(
    type_: NDArray[np.int64], category: NDArray[np.int64], num_types: int
) -> NDArray[np.int64]:
    """The category that holds most cells of each type.

    Args:
        type_: Types, shape (N,).
        category: Categories, shape (N,).
        num_types: Number of types K.

    Returns:
        Shape (K,); -1 for a type without cells.
    """
    found = np.full(num_types, -1)
    for number in range(num_types):
        rows = type_ == number
        if rows.any():
            found[number] = np.bincount(category[rows]).argmax()
    return found


def state_correlations(
    type_: NDArray[np.int64],
    category: NDArray[np.int64],
    true_state: NDArray[np.floating],
    state: NDArray[np.floating],
    num_types: int,
) -> NDArray[np.float64]:
    """How well an agent's state follows the true one in each type.

    Over the type's cells in the category that holds most of them, since a state means something in
    its category only; the best of the agent's state dimensions, whose order and sign are arbitrary.

    Args:
        type_: Types, shape (N,).
        category: The agent's categories, shape (N,).
        true_state: True states, shape (N,).
        state: The agent's states, shape (N, S).
        num_types: Number of types K.

    Returns:
        Largest absolute correlation over the S dimensions, shape (K,); 0 where a state never
        varies or there are fewer than three cells.
    """
    found = np.zeros(num_types)
    for number, matched in enumerate(match_types(type_, category, num_types)):
        rows = (type_ == number) & (category == matched)
        if rows.sum() < 3:
            continue
        for dimension in state[rows].T:
            if dimension.std() > 0:
                value = abs(float(np.corrcoef(dimension, true_state[rows])[0, 1]))
                found[number] = max(found[number], value)
    return found


def precision(ranked: Mapping[int, Sequence[str]], programmes: Mapping[int, set[str]]) -> float:
    """Share of the first genes of each category that belong to the programme of its type.

    Args:
        ranked: First genes of each category.
        programmes: Genes of the programme of the type that each category was matched with; a type
            whose category has no ranking counts as 0.

    Returns:
        The share, a mean over types.
    """
    shares = [
        len(set(ranked[category]) & genes) / len(ranked[category]) if ranked.get(category) else 0.0
        for category, genes in programmes.items()
    ]
    return float(np.mean(shares))


def read_ranking(path: Path, state: int = 0) -> dict[int, list[str]]:
    """First genes of each category from a run's `state_genes.csv`."""
    ranked: dict[int, list[str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if int(row["state"]) == state and int(row["rank"]) <= NUM_GENES:
                ranked.setdefault(int(row["category"]), []).append(row["gene"])
    return ranked


def measure(folder: Path, cells: SyntheticCells) -> dict[str, float]:
    """All measures of a finished run, see the head of this file."""
    table = np.load(folder / "predictions.npz")
    rows, num_types = table["index"], len(cells.type_names)
    type_, category = cells.type[rows], table["category"][0]
    true_state, state = cells.state[rows, 0], table["state_mean"][0]
    correlations = state_correlations(type_, category, true_state, state, num_types)
    matched = match_types(type_, category, num_types)
    names = np.array(cells.gene_names)
    programmes = [set(names[genes]) for genes in cells.programme_genes]
    ranked = read_ranking(folder / "state_genes.csv")
    # A category that two types share is ranked once, and right for one of them at most.
    shares = [
        precision(ranked, {int(k): genes}) for k, genes in zip(matched, programmes, strict=True)
    ]
    summary = json.loads((folder / "summary.json").read_text())
    return {
        "ari": float(adjusted_rand_score(type_, table["consensus"])),
        "categories": summary["test/kept_categories"],
        "populated": summary["test/populated_categories"],
        "states": int((correlations >= HIGH).sum()),
        "correlation": float(correlations.mean()),
        "precision": float(np.mean(shares)),
        "seconds": summary["seconds"],
    }


def baselines(cells: SyntheticCells) -> dict[str, float]:
    """ARI of Leiden and k-means on principal components of all cells; k-means is told K."""
    leiden = leiden_scores(cells)
    expression = log_cpm(cells.counts, target_sum=1e4).toarray()
    points = PCA(NUM_COMPONENTS, random_state=0).fit_transform(expression)
    clusters = KMeans(len(cells.type_names), n_init=10, random_state=0).fit_predict(points)
    return {
        "leiden_best": max(leiden.values()),
        "leiden": leiden[1.0],
        "kmeans": float(adjusted_rand_score(cells.type, clusters)),
    }


def tabulate(measured: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Markdown table: a row for each experiment and seed, and their mean and deviation."""
    lines = [f"| run | seed | {' | '.join(COLUMNS.values())} |"]
    lines.append("|" + "---|" * (len(COLUMNS) + 2))
    for name, by_seed in measured.items():
        for seed, values in by_seed.items():
            cells = [_show(key, values[key]) for key in COLUMNS]
            lines.append(f"| {name} | {seed} | {' | '.join(cells)} |")
        cells = [spread([values[key] for values in by_seed.values()], 3) for key in COLUMNS]
        lines.append(f"| {name} | all | {' | '.join(cells)} |")
    return "\n".join(lines)


def _show(key: str, value: float) -> str:
    whole = key in ("categories", "populated", "states", "seconds")
    return f"{value:.0f}" if whole else f"{value:.3f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and write the table."""
    parser = options(__doc__, Path("runs", "cells_recovery"), RESULTS)
    chosen = parser.parse_args(arguments)
    measured: dict[str, dict[int, dict[str, float]]] = {name: {} for name in EXPERIMENTS}
    for seed in chosen.seeds:
        cells = generate_cells(seed=seed)
        beside = baselines(cells)
        for name, experiment in EXPERIMENTS.items():
            folder = chosen.runs / experiment / f"seed{seed}"
            train(experiment, folder, seed, [f"data.cells_seed={seed}", *chosen.overrides])
            measured[name][seed] = {**measure(folder, cells), **beside}
    text = tabulate(measured)
    write_table(chosen.results / "cells_recovery.md", "cells_recovery", arguments, text)


if __name__ == "__main__":
    main()
