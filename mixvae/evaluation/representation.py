"""Probes of the latents of several modalities, and coherence of what is decoded from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixvae.evaluation.latents import LatentTable, Samples
from mixvae.evaluation.probe import (
    Classifier,
    Labelled,
    accuracy,
    balanced_accuracy,
    fit_logistic,
    known,
)

Numbers = NDArray[np.floating[Any]]

Decode = Callable[[NDArray[np.floating[Any]], int], NDArray[np.floating[Any]]]
"""Samples of a modality, (N, *shape_n), decoded from latents (N, L) and its number n."""

Fit = Callable[[Labelled], Classifier]


def coherence_matrix(
    latents: Sequence[Labelled], decode: Decode, classifiers: Sequence[Classifier]
) -> NDArray[np.float64]:
    """Decode each modality from the latents of each, and classify the result.

    Args:
        latents: Posterior means of the samples of each modality with their classes, length M.
        classifiers: For each modality, a classifier trained on its real data, length M.

    Returns:
        Share of the samples of m whose class is found after decoding z_m into n, as [m, n],
        shape (M, M); NaN where m has no labelled sample.
    """
    count = len(latents)
    matrix = np.full((count, count), np.nan)
    for m, points in enumerate(latents):
        if len(points.label) == 0:
            continue
        for n, classify in enumerate(classifiers):
            matrix[m, n] = (classify(decode(points.x, n)) == points.label).mean()
    return matrix


def mean_coherence(matrix: NDArray[np.floating[Any]]) -> float:
    """Mean over pairs of different modalities; NaN if there are none."""
    others = matrix[~np.eye(len(matrix), dtype=bool)]
    others = others[~np.isnan(others)]
    return float(others.mean()) if others.size else float("nan")


class SplitInference(NamedTuple):
    """Inferences of a model for a split, and the samples of each of its M modalities."""

    latents: LatentTable
    samples: Sequence[Samples]


class Judges(NamedTuple):
    """Classifiers fitted on training data; None if these hold fewer than two known classes.

    Attributes:
        probes: For each modality, a probe of its posterior means, length M.
        shared: One probe of the posterior means of all modalities.
        joint: A probe of the means of the joint posterior; None without one.
        classifiers: For each modality, a classifier of its real samples, length M.
    """

    probes: list[Classifier | None]
    shared: Classifier | None
    joint: Classifier | None
    classifiers: list[Classifier | None]


def fit_judges(train: SplitInference, fit_samples: Fit | Sequence[Fit]) -> Judges:
    """Fit every classifier that the measures need on the training split, each sample once.

    Args:
        fit_samples: Fits a classifier of real samples: one for all modalities, or one for each.

    Raises:
        ValueError: If no modality has training samples of two known classes.
    """
    means = [_means(train.latents, m) for m in range(len(train.samples))]
    fits = [fit_samples] * len(means) if callable(fit_samples) else fit_samples
    judges = Judges(
        probes=[_fit(fit_logistic, data) for data in means],
        shared=_fit(fit_logistic, _pooled(means)),
        joint=None,
        classifiers=[
            _fit(fit, known(s.x, s.label)) for fit, s in zip(fits, train.samples, strict=True)
        ],
    )
    if judges.shared is None:
        raise ValueError("no two classes are known among the labels of the training split")
    joint = _joint_means(train.latents)
    return judges if joint is None else judges._replace(joint=_fit(fit_logistic, joint))


def measure_probes(
    judges: Judges, latents: LatentTable, modalities: Sequence[str]
) -> dict[str, float]:
    """Test the probes on the posterior means of a split, each sample of a modality once.

    Returns:
        Shares of samples by name: `probe_accuracy/<m>`, `probe_balanced_accuracy/<m>` (mean over
        classes) and `shared_probe_accuracy/<m>`, each without `/<m>` the mean over modalities;
        for models with a joint posterior `.../joint`, over events, which no mean includes.
    """
    values: dict[str, float] = {}
    for m, name in enumerate(modalities):
        data, probe = _means(latents, m), judges.probes[m]
        if len(data.label) == 0:
            continue
        if probe is not None:
            values[f"probe_accuracy/{name}"] = accuracy(probe, data)
            values[f"probe_balanced_accuracy/{name}"] = balanced_accuracy(probe, data)
        if judges.shared is not None:
            values[f"shared_probe_accuracy/{name}"] = accuracy(judges.shared, data)
    values |= averaged(values)
    joint = _joint_means(latents)
    if joint is not None and judges.joint is not None and len(joint.label) > 0:
        values["probe_accuracy/joint"] = accuracy(judges.joint, joint)
        values["probe_balanced_accuracy/joint"] = balanced_accuracy(judges.joint, joint)
    return values


def measure_coherence(
    judges: Judges, split: SplitInference, modalities: Sequence[str], decode: Decode
) -> dict[str, float]:
    """Test decodings across modalities with classifiers of real data, each sample once.

    Returns:
        Shares by name: `classifier_accuracy/<n>` on real samples of the split, its mean over
        modalities without `/<n>`, `coherence/<m>_to_<n>`, `coherence` (their mean, m != n),
        `self_coherence/<m>` and `self_coherence` (m to m; of a model with private latents, from
        shared latents as well). Measures without data are left out.
    """
    values: dict[str, float] = {}
    usable = [n for n, classifier in enumerate(judges.classifiers) if classifier is not None]
    classifiers = [judges.classifiers[n] for n in usable]
    for n, classify in zip(usable, classifiers, strict=True):
        data = known(split.samples[n].x, split.samples[n].label)
        if classify is not None and len(data.label) > 0:
            values[f"classifier_accuracy/{modalities[n]}"] = accuracy(classify, data)
    latents = [_means(split.latents, n) for n in usable]
    matrix = coherence_matrix(
        latents,
        lambda points, position: decode(points, usable[position]),
        [classify for classify in classifiers if classify is not None],
    )
    for row, m in enumerate(usable):
        for column, n in enumerate(usable):
            if not np.isnan(matrix[row, column]):
                same, pair = m == n, f"{modalities[m]}_to_{modalities[n]}"
                name = f"self_coherence/{modalities[m]}" if same else f"coherence/{pair}"
                values[name] = float(matrix[row, column])
    values |= averaged({k: v for k, v in values.items() if not k.startswith("coherence/")})
    across = mean_coherence(matrix)
    return values if np.isnan(across) else {**values, "coherence": across}


def averaged(values: dict[str, float]) -> dict[str, float]:
    """Mean over modalities of each measure, under the name without the modality."""
    measures: dict[str, list[float]] = {}
    for name, value in values.items():
        measures.setdefault(name.partition("/")[0], []).append(value)
    return {measure: float(np.mean(parts)) for measure, parts in measures.items()}


def _means(latents: LatentTable, modality: int) -> Labelled:
    table = latents.of_modality(modality)
    return known(table.mean, table.label)


def _joint_means(latents: LatentTable) -> Labelled | None:
    return None if latents.joint_mean is None else known(latents.joint_mean, latents.label)


def _pooled(parts: Sequence[Labelled]) -> Labelled:
    return Labelled(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fit(fit: Fit, data: Labelled) -> Classifier | None:
    return fit(data) if len(np.unique(data.label)) >= 2 else None


def explained(train: tuple[Numbers, Numbers], test: tuple[Numbers, Numbers]) -> float:
    """Variance of targets that a linear probe explains, of points that it was not fitted on.

    Args:
        train: Points (N, L) and targets (N, C) of a least-squares fit with an intercept.
        test: Points and targets that it is tried on.

    Returns:
        R², averaged over the C targets: 1 is all, 0 what their mean explains, and below is worse.
    """
    from sklearn.linear_model import LinearRegression  # slow to import

    fitted = LinearRegression().fit(*(np.asarray(part, dtype=np.float64) for part in train))
    return float(fitted.score(*test))


def measure_private(
    train: LatentTable,
    latents: LatentTable,
    truth: Sequence[Mapping[str, Numbers]],
    modalities: Sequence[str],
) -> dict[str, float]:
    """Probe the posterior means of each modality for its private part, each sample once.

    Args:
        train: Inferences that the probes are fitted on.
        latents: Inferences that they are tried on.
        truth: The private part of each modality, by name, shape (rows, C), M of them.

    Returns:
        R² by name: `private_<part>_r2/<m>`, and `private_r2/<m>`, its mean over the parts, each
        without `/<m>` the mean over modalities. Nothing where no part is known.
    """
    values: dict[str, float] = {}
    for m, (name, parts) in enumerate(zip(modalities, truth, strict=True)):
        fitted, tried = train.of_modality(m), latents.of_modality(m)
        if min(len(fitted.row), len(tried.row)) < 2:
            continue
        found = {
            part: explained((fitted.mean, of[fitted.row]), (tried.mean, of[tried.row]))
            for part, of in parts.items()
        }
        values |= {f"private_{part}_r2/{name}": r2 for part, r2 in found.items()}
        if found:
            values[f"private_r2/{name}"] = float(np.mean(list(found.values())))
    return values | averaged(values)
