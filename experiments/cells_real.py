"""Labelled real cells: `cells_cpl` with its defaults, beside Leiden, k-means and, if there, SCVI.

    python -m experiments.cells_real --cells FOLDER --seeds 0 1 2

Every .h5ad file of the folder holds raw counts in X and types in obs["type"], which only the
measures see. Leiden and k-means cluster 20 principal components of 2,000 highly variable genes in
log counts per 10,000; Leiden's best resolution and k-means' number of types are chosen with the
labels, which no user can do. `embedding` is Leiden on `X_mixvae_latent`, `PCA` on as many principal
components, each at its best resolution. SCVI runs where scvi-tools is installed.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsTransformer

from experiments.cells_hardness import NUM_COMPONENTS, NUM_NEIGHBOURS
from experiments.cells_pbmc import leiden_scores, score
from experiments.cells_recovery import RESULTS
from experiments.reports import markdown, options, spread, write_table
from experiments.single_runs import train
from mixvae.annotate import annotate

LABEL = "type"
NUM_GENES = 2000
COLUMNS = ("ARI", "NMI", "clusters", "consensus", "seconds")
Scores = dict[str, dict[str, float]]


class ExactNeighbours(KNeighborsTransformer):  # type: ignore[misc, unused-ignore]
    """Exact neighbours as a matrix: scanpy 1.11 cannot read the arrays of scipy 1.17."""

    def fit_transform(self, X: NDArray[Any], y: None = None) -> csr_matrix:
        """Distances to the neighbours, sparse, (N, N)."""
        return csr_matrix(super().fit_transform(X))


def leiden(points: NDArray[Any], labels: Any, seed: int) -> dict[float, dict[str, float]]:
    """Scores of Leiden's clusters of points, shape (N, D), by resolution."""
    import anndata
    import scanpy

    cells = anndata.AnnData(points)
    nearest = ExactNeighbours(n_neighbors=NUM_NEIGHBOURS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.pp.neighbors(cells, NUM_NEIGHBOURS, use_rep="X", transformer=nearest)
        return leiden_scores(cells, labels, seed)


def best(scores: Mapping[float, dict[str, float]]) -> dict[str, float]:
    """The scores of the largest ARI."""
    return max(scores.values(), key=lambda one: one["ARI"])


def components(cells: Any, count: int) -> NDArray[Any]:
    """Principal components of log counts per 10,000, shape (N, count); the cells stay."""
    import scanpy

    cells = cells.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.pp.normalize_total(cells, target_sum=1e4)
        scanpy.pp.log1p(cells)
        if cells.n_vars > NUM_GENES:
            scanpy.pp.highly_variable_genes(cells, n_top_genes=NUM_GENES)
        scanpy.pp.pca(cells, n_comps=min(count, cells.n_vars - 1))
    points: NDArray[Any] = cells.obsm["X_pca"]
    return points


def baselines(cells: Any, labels: Any, seed: int) -> Scores:
    """Scores of the methods beside ours."""
    points = components(cells, NUM_COMPONENTS)
    clusters = leiden(points, labels, seed)
    kmeans = KMeans(labels.nunique(), n_init=10, random_state=seed).fit_predict(points)
    scores = {
        "Leiden, r = 1": clusters[1.0],
        "Leiden, best by labels": best(clusters),
        "k-means, number of labels": score(labels, kmeans),
    }
    if importlib.util.find_spec("scvi") is not None:
        scores["SCVI + Leiden, best by labels"] = best(
            leiden(scvi_latent(cells, seed), labels, seed)
        )
    return scores


def scvi_latent(cells: Any, seed: int) -> NDArray[Any]:
    """Latents of scvi-tools' SCVI at its defaults, shape (N, 10)."""
    import scvi  # type: ignore[import-not-found, unused-ignore]

    scvi.settings.seed = seed
    cells = cells.copy()
    scvi.model.SCVI.setup_anndata(cells)
    model = scvi.model.SCVI(cells)
    model.train(accelerator="cpu", enable_progress_bar=False)
    latent: NDArray[Any] = model.get_latent_representation()
    return latent


def ours(cells: Any, labels: Any, folder: Path, seed: int) -> Scores:
    """Scores of a finished run on all cells, and of Leiden on its embedding."""
    found = annotate(cells, folder)
    summary = json.loads((folder / "summary.json").read_text())
    own = score(labels, found.obs["mixvae_category"])
    own |= {"consensus": summary["test/consensus"], "seconds": summary["seconds"]}
    embedding = found.obsm["X_mixvae_latent"]
    pca = components(cells, embedding.shape[1])
    return {
        "cpl-mixVAE": own,
        "embedding": best(leiden(embedding, labels, seed)),
        "PCA": best(leiden(pca, labels, seed)),
    }


def tabulate(scores: Mapping[tuple[str, str], Sequence[Mapping[str, float]]]) -> str:
    """Markdown table, a row for each set and method: mean and deviation over seeds."""
    rows = []
    for (name, method), by_seed in scores.items():
        digits = {"clusters": 1, "seconds": 0}
        values = [
            spread([one[key] for one in by_seed], digits.get(key, 2)) if key in by_seed[0] else ""
            for key in COLUMNS
        ]
        rows.append([name, method, *values])
    return markdown(["set", "method", *COLUMNS], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and write the table."""
    parser = options(__doc__, Path("runs", "cells_real"), RESULTS)
    parser.add_argument("--cells", type=Path, required=True, help="folder of .h5ad files")
    parser.add_argument("--sets", nargs="+", default=[], help="names of files; all without")
    chosen = parser.parse_args(arguments)
    paths = [
        path
        for path in sorted(chosen.cells.glob("*.h5ad"))
        if not chosen.sets or path.stem in chosen.sets
    ]
    if not paths:
        parser.error(f"no .h5ad file of these names in --cells {chosen.cells}")
    import anndata

    scores: dict[tuple[str, str], list[dict[str, float]]] = {}
    for path in paths:
        cells = anndata.read_h5ad(path)
        labels = cells.obs[LABEL].astype(str)
        for seed in chosen.seeds:
            folder = chosen.runs / path.stem / f"seed{seed}"
            train("cells_cpl", folder, seed, [f"data.path={path}", *chosen.overrides])
            measured = {**ours(cells, labels, folder, seed), **baselines(cells, labels, seed)}
            for method, values in measured.items():
                scores.setdefault((path.stem, method), []).append(values)
            print(path.stem, seed, measured["cpl-mixVAE"], flush=True)
    text = tabulate(scores)
    write_table(chosen.results / "cells_real.md", "cells_real", arguments, text)
    if importlib.util.find_spec("scvi") is None:
        print("SCVI was left out: scvi-tools is not installed (pip install scvi-tools)")


if __name__ == "__main__":
    main()
