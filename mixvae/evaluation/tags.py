"""Several labels an event: probes and coherence by the ranking of held-out scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mixvae.evaluation.generation import Drawn, Score
from mixvae.evaluation.probe import PROBE_C, flat
from mixvae.evaluation.representation import Decode, SplitInference, averaged

Array = NDArray[np.floating[Any]]
Scorer = Callable[[Array], Array]
"""Scores (N, T) of samples (N, *shape), higher where a tag is more likely."""
FitTags = Callable[[int, Array, Array], Scorer]
"""Fits a scorer of the samples of a modality: its number, samples, and tags (N, T)."""


class TagJudges(NamedTuple):
    """Scorers fitted on training data, one for each of M modalities."""

    probes: list[Scorer]
    classifiers: list[Scorer]


def fit_logistic_tags(x: Array, tags: Array, c: float = PROBE_C) -> Scorer:
    """Fit a logistic regression for each tag; one that does not vary in training scores 0.

    Args:
        tags: Shape (N, T), 0, 1, or NaN where unknown.
        c: Inverse strength of the squared penalty on the weights, above 0.
    """
    values = flat(x)
    models: list[Any] = []
    for column in tags.T:
        there = ~np.isnan(column)
        if len(np.unique(column[there])) < 2:
            models.append(None)
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            models.append(model.fit(values[there], column[there].astype(int)))

    def scores(x: Array) -> Array:
        points = flat(x)
        columns = [
            np.zeros(len(points)) if model is None else model.decision_function(points)
            for model in models
        ]
        return np.stack(columns, axis=1)

    return scores


def fit_tag_judges(train: SplitInference, tags: Array, fit_samples: FitTags) -> TagJudges:
    """Fit probes of posterior means and classifiers of samples, each sample once.

    Args:
        tags: Tags of each row of the data, shape (rows, T).
    """
    probes, classifiers = [], []
    for m, samples in enumerate(train.samples):
        latents = train.latents.of_modality(m)
        probes.append(fit_logistic_tags(latents.mean, tags[latents.row]))
        classifiers.append(fit_samples(m, samples.x, tags[samples.row]))
    return TagJudges(probes, classifiers)


def measure_tags(
    judges: TagJudges, split: SplitInference, tags: Array, names: Sequence[str], decode: Decode
) -> dict[str, float]:
    """Average precision and area under the ROC curve of held-out scores, means over tags.

    Returns:
        By name, with `ap` and `auroc`: `probe_ap/<m>`, `classifier_ap/<n>` of real samples,
        `coherence_ap/<m>_to_<n>`, and `self_coherence_ap/<m>`; each also without the modality, the
        mean. Chance is the share of events that have a tag (ap), and 0.5 (auroc).
    """
    values: dict[str, float] = {}
    for m, name in enumerate(names):
        latents, samples = split.latents.of_modality(m), split.samples[m]
        known = tags[latents.row]
        values |= _ranked(f"probe_%s/{name}", judges.probes[m](latents.mean), known)
        scores = judges.classifiers[m](samples.x)
        values |= _ranked(f"classifier_%s/{name}", scores, tags[samples.row])
        for n, classify in enumerate(judges.classifiers):
            key = f"self_coherence_%s/{name}" if m == n else f"coherence_%s/{name}_to_{names[n]}"
            values |= _ranked(key, classify(decode(latents.mean, n)), known)
    return values | averaged(values)


def score_tags(drawn: Drawn, scorers: Sequence[Scorer], tags: Array) -> Score:
    """AP and AUROC of the scores of decoded samples, means over tags.

    Args:
        tags: Tags of each row of the data, shape (rows, T).
    """
    # Of an event that misses a modality, another one knows the row.
    known = tags[drawn.rows.max(axis=1)]

    def score(n: int, decoded: Array, events: NDArray[np.bool_]) -> dict[str, float]:
        return _ranked("subset_coherence_%s", scorers[n](decoded), known[events])

    return score


def _ranked(key: str, scores: Array, tags: Array) -> dict[str, float]:
    """AP and AUROC, means over the tags that vary among known ones; nothing if none does."""
    found: dict[str, list[float]] = {"ap": [], "auroc": []}
    for score, tag in zip(scores.T, tags.T, strict=True):
        there = ~np.isnan(tag)
        if len(np.unique(tag[there])) == 2:
            found["ap"].append(float(average_precision_score(tag[there], score[there])))
            found["auroc"].append(float(roc_auc_score(tag[there], score[there])))
    return {key % name: float(np.mean(values)) for name, values in found.items() if values}
