"""Real cells: the categories of `cells_cpl` on scanpy's pbmc68k_reduced, beside Leiden and k-means.

    python -m experiments.cells_pbmc --seeds 0 1 2

All are compared with `bulk_labels`, which none of them sees, on all 700 cells. Leiden and k-means
cluster the same 20 principal components of the same log expression; the labels are themselves made
by comparison with sorted cells, and several of them (the CD4 subtypes) overlap in expression.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from experiments.cells_hardness import NUM_COMPONENTS, NUM_NEIGHBOURS, RESOLUTIONS
from experiments.cells_recovery import RESULTS
from experiments.reports import options, spread, write_table
from experiments.single_runs import train
from mixvae.annotate import annotate

BATCH_SIZE = 64  # 250 would leave two steps an epoch of these few cells
LABEL = "bulk_labels"


def read_cells() -> Any:
    """The 700 cells with all their genes in log units, as `cells_cpl` sees them without a path."""
    import anndata
    import scanpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = scanpy.datasets.pbmc68k_reduced()
    return anndata.AnnData(cells.raw.X, obs=cells.obs[[LABEL]].copy(), var=cells.raw.var.copy())


def score(labels: Any, clusters: Any) -> dict[str, float]:
    """Agreement of clusters with labels, and how many clusters there are."""
    return {
        "ARI": float(adjusted_rand_score(labels, clusters)),
        "NMI": float(normalized_mutual_info_score(labels, clusters)),
        "clusters": len(set(clusters)),
    }


def baselines(cells: Any, seed: int, num_found: int) -> dict[str, dict[str, float]]:
    """Leiden and k-means on the same principal components.

    Args:
        cells: The cells; they are not changed.
        seed: Of both.
        num_found: Clusters that k-means makes beside the number of labels.

    Returns:
        Scores by method. The best resolution is the one of the largest ARI: no user can know it.
    """
    import scanpy

    cells, labels = cells.copy(), cells.obs[LABEL]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.pp.pca(cells, n_comps=NUM_COMPONENTS)
        scanpy.pp.neighbors(cells, n_neighbors=NUM_NEIGHBOURS)
        leiden = leiden_scores(cells, labels, seed)
    points = cells.obsm["X_pca"]
    scores = {
        "Leiden, best resolution": max(leiden.values(), key=lambda one: one["ARI"]),
        "Leiden, resolution 1": leiden[1.0],
    }
    for name, count in {"labels": labels.nunique(), "ours": num_found}.items():
        clusters = KMeans(count, n_init=10, random_state=seed).fit_predict(points)
        scores[f"k-means, as many as {name}"] = score(labels, clusters)
    return scores


def leiden_scores(cells: Any, labels: Any, seed: int) -> dict[float, dict[str, float]]:
    """Scores of Leiden's clusters of cells whose neighbours are known, by resolution."""
    import scanpy

    scores = {}
    for resolution in RESOLUTIONS:
        scanpy.tl.leiden(
            cells,
            resolution=resolution,
            flavor="igraph",
            n_iterations=2,
            directed=False,
            random_state=seed,
        )
        scores[resolution] = score(labels, cells.obs["leiden"])
    return scores


def tabulate(scores: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Markdown table, a row for each method: mean and deviation over seeds."""
    lines = ["| method | ARI | NMI | clusters |", "|---|---|---|---|"]
    for method, by_seed in scores.items():
        cells = [spread([one[key] for one in by_seed]) for key in ("ARI", "NMI")]
        cells.append(spread([one["clusters"] for one in by_seed], 1))
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and write the table."""
    parser = options(__doc__, Path("runs", "cells_pbmc"), RESULTS)
    chosen = parser.parse_args(arguments)
    cells = read_cells()
    scores: dict[str, list[dict[str, float]]] = {}
    for seed in chosen.seeds:
        folder = chosen.runs / f"seed{seed}"
        overrides = [f"data.batch_size={BATCH_SIZE}", *chosen.overrides]
        train("cells_cpl", folder, seed, overrides)
        found = annotate(cells, folder).obs["mixvae_category"]
        ours = {"cpl-mixVAE": score(cells.obs[LABEL], found)}
        for method, values in {**ours, **baselines(cells, seed, found.nunique())}.items():
            scores.setdefault(method, []).append(values)
    text = tabulate(scores)
    write_table(chosen.results / "cells_pbmc.md", "cells_pbmc", arguments, text)


if __name__ == "__main__":
    main()
