"""Separation of groups in a representation: silhouette and cross-validated classification."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, silhouette_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def mixture_latent(
    probs: NDArray[np.float32], state_mean: NDArray[np.float32], agent: int = 0
) -> NDArray[np.float32]:
    """One vector per sample: its category probabilities, then its state.

    Args:
        probs: q(c|x) of each agent, shape (A, N, K); their mean over agents is taken.
        state_mean: Mean states, shape (A, N, S); those of one agent are taken: a mean over
            agents would mix unrelated dimensions.
    """
    latent: NDArray[np.float32] = np.concatenate([probs.mean(axis=0), state_mean[agent]], axis=-1)
    return latent


def clusterability(
    features: NDArray[np.floating],
    groups: NDArray[np.integer],
    *,
    seed: int = 0,
    num_folds: int = 5,
    max_silhouette: int = 5000,
) -> dict[str, float]:
    """Separation of groups in a space of features.

    Groups of fewer than `num_folds` samples are left out and counted in `num_left_out`.

    Args:
        features: Features, shape (N, F).
        groups: Group of each sample, shape (N,); negative where unknown.
        num_folds: Folds of the cross-validation, each with its share of every group.
        max_silhouette: Largest number of samples for the silhouette, which takes N^2 distances.

    Returns:
        `silhouette` in [-1, 1] (Euclidean, mean over samples); `balanced_accuracy` in [0, 1] of a
        logistic regression on standardised features, predicted by cross-validation, mean over
        groups; `num_groups` and `num_left_out`, counts of groups. Without two groups the two
        measures are left out.
    """
    values, counts = np.unique(groups[groups >= 0], return_counts=True)
    kept = values[counts >= num_folds]
    sizes = {"num_groups": float(len(kept)), "num_left_out": float(len(values) - len(kept))}
    if len(kept) < 2:
        return sizes
    rows = np.isin(groups, kept)
    x, y = np.asarray(features, dtype=np.float64)[rows], groups[rows]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    predicted = cross_val_predict(model, x, y, cv=folds)
    chosen = np.random.default_rng(seed).permutation(len(x))[:max_silhouette]
    measured = {"balanced_accuracy": float(balanced_accuracy_score(y, predicted))}
    if len(np.unique(y[chosen])) >= 2:
        measured["silhouette"] = float(silhouette_score(x[chosen], y[chosen]))
    return measured | sizes


def compare_clusterability(
    latent: NDArray[np.floating],
    samples: NDArray[np.floating],
    groupings: Mapping[str, NDArray[np.integer]],
    *,
    seed: int = 0,
) -> dict[str, float]:
    """Compare a latent representation with as many principal components as it has dimensions.

    Everything is fitted on these samples; the classifier is cross-validated. Categories
    are a function of the latent and so easy to predict from it; the labels are the test.

    Args:
        latent: Latent representation, shape (N, L).
        samples: The data themselves, shape (N, D).
        groupings: Groups by name, such as `category` and `label`, each of shape (N,).

    Returns:
        `<latent or pca>/<grouping>/<measure>`, see `clusterability`; and `pca/num_components`.
    """
    num_components = min(latent.shape[1], *samples.shape)
    with np.errstate(invalid="ignore"):  # of one sample, or equal ones, shares of no variance
        pca = PCA(num_components, random_state=seed).fit_transform(np.asarray(samples, np.float64))
    values = {"pca/num_components": float(num_components)}
    for space, features in (("latent", latent), ("pca", pca)):
        for grouping, groups in groupings.items():
            measured = clusterability(features, groups, seed=seed)
            values |= {f"{space}/{grouping}/{name}": value for name, value in measured.items()}
    return values
