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

from mixvae.objectives.count_likelihoods import (
    check_counts,
    log_mean,
    negative_binomial_log_prob,
)
from mixvae.objectives.likelihoods import Unbounded, sum_features
from mixvae.objectives.precision import at_least_single

SMALLEST_RATE = 1e-4
"""Of a feature that is 0 in all of training, in counts."""


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

    def elementwise(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p of each value, nats, shape of params."""
        return (params - x).abs() / self.scale + math.log(2 * self.scale)


class Counts:
    """What families of counts in the data themselves share.

    Decoders give corrections to the logarithms of the training means, and encoders see logarithms
    of counts, so that counts of any size start at finite losses of their own order.

    Source:
        Lopez et al. 2018 (scVI), whose encoder sees log(1 + x); the start at the means is ours.
    """

    # The encoder sees the counts themselves, so a second array of raw counts is not needed.
    counts: ClassVar[bool] = False

    def seen(self, x: Tensor, centre: Tensor) -> Tensor:
        """The encoder's input of counts (B, *shape), given their training means, of `shape`."""
        return x.log1p() - centre.log1p()

    def shifted(self, params: Tensor, centre: Tensor) -> Tensor:
        """Parameters of the family from a decoder's output, given the training means."""
        return params + centre.clamp_min(SMALLEST_RATE).log()

    def nearest(self, x: Tensor) -> Tensor:
        """Values rounded to counts."""
        return x.round().clamp_min(0)


@dataclass(frozen=True)
class Poisson(Counts):
    """Independent counts, such as of spikes; the decoder gives the logarithms of their rates.

    Source:
        Gao et al. 2016 (fLDS) for spike counts of neurons.
    """

    params_per_feature: ClassVar[int] = 1

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from log-rates (A, B, *shape): shape (A, B), nats, summed over features."""
        return sum_features(self.elementwise(params, x))

    def elementwise(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p of each count, nats, shape of params."""
        params = at_least_single(params)
        return params.exp() - x * params + torch.lgamma(x + 1)

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


@dataclass(frozen=True)
class LibraryNegativeBinomial(Counts):
    """Counts in the data themselves, such as of genes, given the sum of each sample.

    The mean of feature g is library * softmax(logits)_g, with the sample's own sum as library, so
    depth is no part of the latents. The dispersion r, one for each sample and feature, is the
    inverse one: the variance is mean + mean^2 / r.

    Source:
        Lopez et al. 2018 (scVI), supplementary note 1, with the observed library size, as
        `count_likelihoods.NegativeBinomial`, which is for counts beside other values.
    """

    params_per_feature: ClassVar[int] = 2

    def seen(self, x: Tensor, centre: Tensor) -> Tensor:
        """Log1p of counts scaled to the mean library, less that of the training means."""
        library = x.sum(dim=-1, keepdim=True).clamp_min(1)
        return (x / library * centre.sum()).log1p() - centre.log1p()

    def shifted(self, params: Tensor, centre: Tensor) -> Tensor:
        """Log rates that sum to the mean library, and log dispersions, from (..., 2*D)."""
        logits, log_dispersion = at_least_single(params).chunk(2, dim=-1)
        centre = centre.clamp_min(SMALLEST_RATE)
        log_rate = (logits + centre.log()).log_softmax(dim=-1) + centre.sum().log()
        return torch.cat([log_rate, log_dispersion], dim=-1)

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x | library of x) from (A, B, 2*D): shape (A, B), nats, summed over features."""
        return sum_features(self.elementwise(params, x))

    def elementwise(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p of each count given the library, nats, shape (A, B, D)."""
        logits, log_dispersion = at_least_single(params).chunk(2, dim=-1)
        return -negative_binomial_log_prob(log_mean(logits, x), log_dispersion, x)

    def mean(self, params: Tensor) -> Tensor:
        """The rates of `shifted` parameters, in counts at the mean library."""
        return at_least_single(params).chunk(2, dim=-1)[0].exp()

    def check(self, x: Tensor) -> None:
        """Raise ValueError if a value is not a count."""
        check_counts(x)


@dataclass(frozen=True)
class Categorical:
    """Categories along the last axis, one-hot in the data; the decoder gives logits.

    A sample of shape (32, 41) is a text of 32 letters of an alphabet of 41; one of shape (5,) is a
    single choice among 5. Probabilities in place of one-hot vectors count as expected choices. A
    choice of zeros alone is padding, and adds nothing.

    Source:
        MMVM (Sutter et al. 2024), its text modality; its code adds an epsilon to the logits, which
        a softmax ignores.
    """

    params_per_feature: ClassVar[int] = 1
    counts: ClassVar[bool] = False

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from logits (A, B, *shape): shape (A, B), nats, summed over the choices."""
        return sum_features(self.elementwise(params, x))

    def elementwise(self, params: Tensor, x: Tensor) -> Tensor:
        """The part of each category in -log p(x), nats, shape of params."""
        return -x * at_least_single(params).log_softmax(dim=-1)

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
                f" in [0, 1]; got {low:g} to {high:g}; declare token numbers by data.kinds={{name:"
                " tokens}, and leave them out of data.standardise"
            )
        total = x.sum(dim=-1)
        distance = torch.minimum((total - 1).abs(), total.abs())
        worst = float(total.flatten()[distance.argmax()])
        if not min(abs(worst - 1), abs(worst)) < 1e-3:
            raise ValueError(
                f"the categorical likelihood needs one category for each choice: the values along"
                f" the last axis sum to 1 (0: padding); got a sum of {worst:g}; data.standardise"
                " may not change them"
            )

    def nearest(self, x: Tensor) -> Tensor:
        """Values clamped to [0, 1]; their sum may differ from 1."""
        return x.clamp(0, 1)
