"""How hard the synthetic cells are: `python -m experiments.cells_hardness [--seeds 0 1 2]`.

For each seed of the cells it prints Leiden's best and default ARI on 20 principal components, the
balanced accuracy of a linear classifier that is shown four fifths of the types, and the least
correlation, over types, of the first component of a programme's genes with the true state.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from mixvae.data.cells.expression import log_cpm
from mixvae.data.cells.generator import SyntheticCells, generate_cells

RESOLUTIONS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0)
NUM_COMPONENTS = 20
NUM_NEIGHBOURS = 15
TRAIN_SHARE = 0.8
INVERSE_PENALTY = 0.003  # of 5,000 cells and 500 standardised genes: about the best


class Hardness(NamedTuple):
    """What was measured.

    Attributes:
        leiden_best: ARI at the best of the resolutions, which no user can know.
        leiden_default: ARI at resolution 1.
        classifier: Balanced accuracy on held-out cells.
        state: Least absolute correlation with the true state over types.
    """

    leiden_best: float
    leiden_default: float
    classifier: float
    state: float


def measure(cells: SyntheticCells) -> Hardness:
    """Measure how hard cells are.

    Args:
        cells: Synthetic cells.

    Returns:
        The figures.
    """
    leiden = leiden_scores(cells)
    expression = log_cpm(cells.counts).toarray()
    return Hardness(
        max(leiden.values()),
        leiden[1.0],
        classifier_accuracy(expression, cells.type),
        min(state_correlations(cells, expression)),
    )


def leiden_scores(cells: SyntheticCells) -> dict[float, float]:
    """ARI of Leiden's clusters with the types, for each resolution.

    Args:
        cells: Synthetic cells.

    Returns:
        The ARI by resolution.
    """
    import anndata
    import scanpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.AnnData(cells.counts.copy())
        scanpy.pp.normalize_total(adata, target_sum=1e4)
        scanpy.pp.log1p(adata)
        scanpy.pp.pca(adata, n_comps=NUM_COMPONENTS)
        scanpy.pp.neighbors(adata, n_neighbors=NUM_NEIGHBOURS)
        scores = {}
        for resolution in RESOLUTIONS:
            scanpy.tl.leiden(
                adata, resolution=resolution, flavor="igraph", n_iterations=2, directed=False
            )
            scores[resolution] = float(adjusted_rand_score(cells.type, adata.obs["leiden"]))
    return scores


def classifier_accuracy(expression: np.ndarray, types: np.ndarray) -> float:
    """Balanced accuracy of logistic regression on a fifth of the cells.

    Args:
        expression: Log expression, shape (N, G).
        types: Types, shape (N,).

    Returns:
        The accuracy, averaged over types.
    """
    order = np.random.default_rng(0).permutation(len(types))
    train, test = np.split(order, [round(TRAIN_SHARE * len(types))])
    scaler = StandardScaler().fit(expression[train])
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=500, class_weight="balanced")
    model.fit(scaler.transform(expression[train]), types[train])
    predicted = model.predict(scaler.transform(expression[test]))
    return float(balanced_accuracy_score(types[test], predicted))


def state_correlations(cells: SyntheticCells, expression: np.ndarray) -> list[float]:
    """Correlation of each type's state with the first component of its programme's genes.

    Args:
        cells: Synthetic cells.
        expression: Log expression, shape (N, G).

    Returns:
        One absolute correlation for each type; of the first state dimension.
    """
    correlations = []
    for number, genes in enumerate(cells.programme_genes):
        rows = cells.type == number
        first = PCA(1, random_state=0).fit_transform(expression[rows][:, genes])[:, 0]
        correlations.append(abs(float(np.corrcoef(first, cells.state[rows, 0])[0, 1])))
    return correlations


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a Markdown table.

    Args:
        arguments: The command line; None takes the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args(arguments).seeds
    print("| cells_seed | Leiden, best | Leiden, resolution 1 | linear classifier | state |")
    print("|---|---|---|---|---|")
    for seed in seeds:
        print(
            f"| {seed} |", " | ".join(f"{v:.3f}" for v in measure(generate_cells(seed=seed))), "|"
        )


if __name__ == "__main__":
    main()
