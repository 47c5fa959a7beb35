"""Quality of what is generated: coherence from subsets, agreement, and the Fréchet distance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixvae.evaluation.probe import Classifier
from mixvae.evaluation.representation import Decode
from mixvae.spacing import spaced

Array = NDArray[np.floating[Any]]
Features = Callable[[Array], Array]
"""Features (N, F) of samples (N, *shape)."""
Subset = tuple[int, ...]
Score = Callable[[int, Array, NDArray[np.bool_]], Mapping[str, float]]
"""Measures of decoded samples of a modality: its number, samples, and their events (N,), bool."""


class Drawn(NamedTuple):
    """Draws for N held-out events.

    Attributes:
        label: Class, -1 where unknown, shape (N,), int64.
        rows: Row of each modality's sample, shape (N, M), int64.
        there: Modalities present, shape (N, M), bool.
        latents: Draws of q(z|x_S) by the subset S, each of shape (N, L).
    """

    label: NDArray[np.int64]
    rows: NDArray[np.int64]
    there: NDArray[np.bool_]
    latents: dict[Subset, Array]


def some_subsets(num_modalities: int, at_most: int) -> list[Subset]:
    """Subsets of 1 to M - 1 modalities, the same for the same numbers.

    Args:
        at_most: Largest number of sizes, spread over all, and of subsets of one size.
    """
    sizes = np.unique(np.linspace(1, num_modalities - 1, at_most).round().astype(int))
    chosen: list[Subset] = []
    generator = np.random.default_rng(0)
    for size in sizes.tolist():
        if comb(num_modalities, size) <= at_most:
            chosen += combinations(range(num_modalities), size)
            continue
        found: dict[Subset, None] = {}
        while len(found) < at_most:
            members = generator.choice(num_modalities, size, replace=False)
            found[tuple(sorted(members.tolist()))] = None
        chosen += found
    return chosen


def targets_of(subset: Subset, num_modalities: int, at_most: int) -> list[int]:
    """Modalities outside of a subset, at most so many, spread over all."""
    others = [n for n in range(num_modalities) if n not in subset]
    places = spaced(len(others), at_most)
    # Subsets of one size begin at different modalities.
    return [others[(place + subset[0]) % len(others)] for place in places.tolist()]


def measure_subsets(drawn: Drawn, decode: Decode, score: Score, at_most: int) -> dict[str, float]:
    """Score draws of q(z|x_S), decoded into modalities that are not in S.

    Returns:
        Means over subsets and targets, as `<measure>/<size of S>`. Events that miss one of S are
        left out; those that miss the target are not.
    """
    found: dict[str, list[float]] = {}
    for subset, latents in drawn.latents.items():
        usable = np.asarray(drawn.there[:, list(subset)].all(axis=1))
        if not usable.any():
            continue
        for n in targets_of(subset, drawn.there.shape[1], at_most):
            for name, value in score(n, decode(latents[usable], n), usable).items():
                found.setdefault(f"{name}/{len(subset)}", []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def score_classes(drawn: Drawn, classifiers: Sequence[Classifier | None]) -> Score:
    """The share of decoded samples whose class is that of their event."""

    def score(n: int, decoded: Array, events: NDArray[np.bool_]) -> dict[str, float]:
        classify, label = classifiers[n], drawn.label[events]
        if classify is None or not (label >= 0).any():
            return {}
        found = classify(decoded) == label
        return {"subset_coherence": float(found[label >= 0].mean())}

    return score


def agreement(classes: Sequence[NDArray[np.int64]]) -> float:
    """Share of the pairs of modalities whose decoded samples have one class, mean over draws.

    Args:
        classes: Classes of the same N draws in each modality, each of shape (N,).
    """
    pairs = [float((a == b).mean()) for a, b in combinations(classes, 2)]
    return float(np.mean(pairs))


def frechet_distance(a: Array, b: Array) -> float:
    """The squared Fréchet distance of two sets of features (N, F), each taken as a Gaussian.

    |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), in squared units of the features; it is
    biased upwards by few samples. With C_a = A'A and C_b = B'B the last trace is the sum of the
    singular values of AB', so that it costs O(N^2 F) where there are fewer samples than features.

    Source:
        Heusel et al. 2017 (FID), there of Inception's features.
    """
    a, b = (np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in (a, b))
    shift = a.mean(axis=0) - b.mean(axis=0)
    first, second = _root(a), _root(b)
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    distance = shift @ shift + (first**2).sum() + (second**2).sum() - 2 * shared
    return max(float(distance), 0.0)


def _root(x: Array) -> Array:
    """A with A'A the covariance of x (N, F), of min(N, F) rows."""
    centred = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    return np.linalg.qr(centred, mode="r") if len(x) > x.shape[1] else centred


def measure_frechet(
    features: Sequence[Features | None],
    names: Sequence[str],
    real: Sequence[Array],
    generated: Mapping[str, Sequence[Sequence[Array]]],
) -> dict[str, float]:
    """Fréchet distances to held-out samples, as `<measure>/<modality>` and their mean.

    Args:
        features: Of each modality, length M.
        real: Held-out samples of each modality, length M.
        generated: Sets of samples by measure and modality; the distances of a modality are averaged
            over its sets. At most as many are used as there are held-out ones.
    """
    values: dict[str, float] = {}
    for measure, by_modality in generated.items():
        for n, sets in enumerate(by_modality):
            extract, held_out = features[n], real[n]
            if extract is None or len(held_out) < 2:
                continue
            target = extract(held_out)
            usable = [x[spaced(len(x), len(held_out))] for x in sets if len(x) > 1]
            if usable:
                distances = [frechet_distance(extract(samples), target) for samples in usable]
                values[f"{measure}/{names[n]}"] = float(np.mean(distances))
        own = [value for name, value in values.items() if name.startswith(f"{measure}/")]
        if own:
            values[measure] = float(np.mean(own))
    return values
