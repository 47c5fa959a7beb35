"""Likelihoods p(x|z) for modalities that are neither images nor plain vectors.

They follow the protocol and convention of `objectives.likelihoods`: nats, summed over
features. The leading axis, there called the agents', has length 1 for a single modality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mixvae.objectives.likelihoods import Unbounded, sum_features
from mixvae.objectives.precision import at_least_single


@dataclass(frozen=True)
class Laplace(Unbounded):
    """Independent Laplace features of one fixed scale; the decoder gives their medians.

    Args:
        scale: Mean absolute deviation of every feature, in data units, above 0.

    Source:
        Shi et al. 2019 and MMVM (Sutter et al. 2024), both with scale 0.75 for images.
    """

    scale: float = 0.75

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"the Laplace scale must be above 0 and finite, got {self.scale}")

    def noise_variance(self, x: Tensor) -> Tensor:
        """Variance of the normal that is as curved at the mean of samples (N, *shape): (*shape)."""
        return self.scale * (x - x.mean(dim=0)).abs().mean(dim=0)

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from medians (A, B, *shape): shape (A, B), nats, summed over features."""
        constant = math.prod(params.shape[2:]) * math.log(2 * self.scale)
        return sum_features((params - x).abs()) / self.scale + constant


@dataclass(frozen=True)
class Poisson:
    """Independent counts, such as of spikes; the decoder gives the logarithms of their rates.

    Source:
        Gao et al. 2016 (fLDS) for spike counts of neurons.
    """

    params_per_feature: ClassVar[int] = 1
    # The encoder sees the counts themselves, so a second array of raw counts is not needed.
    counts: ClassVar[bool] = False

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from log-rates (A, B, *shape): shape (A, B), nats, summed over features."""
        params = at_least_single(params)
        return sum_features(params.exp() - x * params + torch.lgamma(x + 1))

    def noise_variance(self, x: Tensor) -> Tensor:
        """Variance of each count at the mean of samples (N, *shape): shape (*shape)."""
        return x.mean(dim=0)

    def mean(self, params: Tensor) -> Tensor:
        """The rates, in counts."""
        return params.exp()

    def check(self, x: Tensor) -> None:
        """Raise ValueError if a value is below 0, not whole or NaN."""
        bad = x[~((x >= 0) & (x == x.round()) & torch.isfinite(x))]
        if bad.numel():
            raise ValueError(
                f"the Poisson likelihood needs counts 0, 1, 2, ..., got {float(bad[0]):g}"
                f" and {bad.numel() - 1} more that are none; use counts that were not standardised,"
                " or the squared error"
            )

    def nearest(self, x: Tensor) -> Tensor:
        """Values rounded to counts."""
        return x.round().clamp_min(0)


@dataclass(frozen=True)
class Categorical:
    """Categories along the last axis, one-hot in the data; the decoder gives logits.

    A sample of shape (32, 41) is a text of 32 letters of an alphabet of 41; one of shape (5,) is a
    single choice among 5. Probabilities in place of one-hot vectors count as expected choices.

    Source:
        MMVM (Sutter et al. 2024), its text modality; its code adds an epsilon to the logits, which
        a softmax ignores.
    """

    params_per_feature: ClassVar[int] = 1
    counts: ClassVar[bool] = False

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from logits (A, B, *shape): shape (A, B), nats, summed over the choices."""
        return sum_features(-x * at_least_single(params).log_softmax(dim=-1))

    def noise_variance(self, x: Tensor) -> Tensor:
        """The share of each category in samples (N, *shape), as in Pearson's chi squared."""
        return x.mean(dim=0)

    def mean(self, params: Tensor) -> Tensor:
        """Probabilities of the categories, from logits, of their shape."""
        return params.softmax(dim=-1)

    def check(self, x: Tensor) -> None:
        """Raise ValueError if the last axis is not a distribution over categories."""
        low, high = (float(bound) for bound in x.aminmax())
        if not (low >= 0 and high <= 1 + 1e-4):
            raise ValueError(
                f"the categorical likelihood needs one-hot categories along the last axis, values"
                f" in [0, 1]; got {low:g} to {high:g}; encode class numbers as one-hot vectors, and"
                " leave them out of data.standardise"
            )
        total = x.sum(dim=-1)
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        if not abs(worst - 1) < 1e-3:
            raise ValueError(
                f"the categorical likelihood needs one category for each choice: the values along"
                f" the last axis sum to 1; got a sum of {worst:g}; data.standardise may not change"
                " them"
            )

    def nearest(self, x: Tensor) -> Tensor:
        """Values clamped to [0, 1]; their sum may differ from 1."""
        return x.clamp(0, 1)
