"""Probes: classifiers of representations, or of the data themselves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # scikit-learn is slow to import, and few runs need it
    from sklearn.pipeline import Pipeline

PROBE_C = 1.0
"""Inverse strength of the squared penalty on a probe's weights, scikit-learn's default."""

Classifier = Callable[[NDArray[np.floating[Any]]], NDArray[np.int64]]
"""The class of each sample, shape (N,), of samples of shape (N, *shape)."""


class Labelled(NamedTuple):
    """Points with their classes.

    Attributes:
        x: Points, shape (N, *shape).
    """

    x: NDArray[np.floating[Any]]
    label: NDArray[np.int64]


def known(x: NDArray[np.floating[Any]], label: NDArray[np.int64]) -> Labelled:
    """The points whose class is known, not negative."""
    return Labelled(x[label >= 0], label[label >= 0])


def fit_logistic(data: Labelled, c: float = PROBE_C, max_iterations: int = 500) -> Classifier:
    """Fit a multinomial logistic regression on standardised features.

    It is deterministic: the same data give the same classifier.

    Args:
        c: Inverse strength of the squared penalty on the weights, above 0.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=max_iterations)
    return _fit(model, data)


def fit_mlp(data: Labelled, seed: int = 0) -> Classifier:
    """Fit a network with one hidden layer of 128 units on standardised features, 30 epochs.

    For data whose classes are not linearly separable, such as images.
    """
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((128,), batch_size=min(128, len(data.label)), max_iter=30)
    network.set_params(random_state=seed, alpha=1e-3)
    return _fit(network, data)


def accuracy(classify: Classifier, data: Labelled) -> float:
    """Share of points classified correctly."""
    return float((classify(data.x) == data.label).mean())


def balanced_accuracy(classify: Classifier, data: Labelled) -> float:
    """Mean over the classes that occur of the recall of the class."""
    found = classify(data.x) == data.label
    return float(np.mean([found[data.label == k].mean() for k in np.unique(data.label)]))


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier of samples (N, *shape)."""

    pipeline: Pipeline

    def __call__(self, x: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """The class of each sample, shape (N,)."""
        predicted: NDArray[np.int64] = self.pipeline.predict(flat(x))
        return predicted

    def features(self, x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Probabilities of the classes, shape (N, C), as features of a sample.

        Their logarithms would compare how sure a classifier is: decoded means have no noise.
        """
        found: NDArray[np.float64] = self.pipeline.predict_proba(flat(x))
        return found


def _fit(classifier: Any, data: Labelled) -> Classifier:
    """Fit a classifier on standardised features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = np.unique(data.label)
    if len(classes) < 2:
        raise ValueError(
            f"a classifier needs samples of two classes or more; got {len(classes)}"
            f" in {len(data.label)} labelled samples"
        )
    pipeline = make_pipeline(StandardScaler(), classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(flat(data.x), data.label)
    return Fitted(pipeline)


def flat(x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Points (N, D) of samples, with the mean of a feature where single values are missing (NaN).

    A diverged or collapsed latent is scaled in double precision, which resolves its spread.
    """
    points = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    hole = np.isnan(points)
    if not hole.any():
        return points
    count = np.maximum((~hole).sum(axis=0), 1)
    return np.where(hole, np.nansum(points, axis=0) / count, points)
