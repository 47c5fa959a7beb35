"""What the latent of a modality keeps of the part that this modality has for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.evaluation.latents import LatentTable
from mixvae.evaluation.representation import averaged

Numbers = NDArray[np.floating[Any]]


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
