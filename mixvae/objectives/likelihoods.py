"""Likelihoods p(x|s, c) of a sample given a decoder's output, in nats, summed over features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from mixvae.objectives.linear_error import linear_squared_error


class Likelihood(Protocol):
    """A family of distributions over a sample, one set of parameters per feature.

    One convention for every family: nats, summed over features (unlike the public code, where
    some are sums and some are means), so beta and lambda keep their meaning when it changes.

    A family with one parameter per feature takes the decoder's output in the shape of the sample.
    One with P parameters is for vectors, and takes (A, B, P*D): P blocks of D features.
    """

    @property
    def params_per_feature(self) -> int:
        """Number P of parameters per feature."""
        ...

    @property
    def counts(self) -> bool:
        """Whether the samples are raw counts, `Batch.counts`, and not `Batch.x`."""
        ...

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x), shape (A, B), nats, summed over features.

        Args:
            params: The decoder's output, shape (A, B, *shape), or (A, B, P*D).
            x: Samples, shape (A, B, *shape), or (B, *shape) where the agents share them.
        """
        ...

    def mean(self, params: Tensor) -> Tensor:
        """Expected sample, shape (A, B, *shape), in units of the data that the encoder sees.

        That is x itself, except for counts, whose mean profile is given in log space, as cells are.
        """
        ...

    def check(self, x: Tensor) -> None:
        """Raise ValueError if samples lie outside the support of the family."""
        ...

    def nearest(self, x: Tensor) -> Tensor:
        """The points of the family's support nearest to x, same shape; mostly x itself.

        For altered copies of samples, which may leave the range of the data: outside, -log p(x)
        is meaningless and may have no lower bound.
        """
        ...


def decoded_shape(shape: Sequence[int], likelihood: Likelihood) -> Sequence[int]:
    """Shape of a decoder's output, see `Likelihood`.

    Raises:
        ValueError: If the family has several parameters per feature and samples are not vectors.

    Source:
        Ours.
    """
    count = likelihood.params_per_feature
    if count == 1:
        return shape
    if len(shape) != 1:
        raise ValueError(
            f"model.likelihood {type(likelihood).__name__} takes {count} parameters per feature,"
            f" which is for vectors; the data have samples of shape {tuple(shape)}"
        )
    return (count * shape[0],)


@dataclass(frozen=True)
class Bernoulli:
    """Independent Bernoulli features; the decoder gives logits.

    Values between 0 and 1 count as expected bits: the cross-entropy is still proper, its least
    value is their entropy and not 0.

    Source:
        Kingma & Welling 2014, appendix C.1.
    """

    params_per_feature: ClassVar[int] = 1
    counts: ClassVar[bool] = False

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from logits (A, B, *shape): shape (A, B), nats, summed over features."""
        return sum_features(self.elementwise(params, x))

    def elementwise(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p of each value, nats, shape of params."""
        return F.binary_cross_entropy_with_logits(params, x.expand_as(params), reduction="none")

    def mean(self, params: Tensor) -> Tensor:
        """Probability of a one, from logits, of their shape."""
        return params.sigmoid()

    def link(self, mean: Tensor) -> Tensor:
        """Logits of a mean, at most 16 in size, of its shape."""
        return mean.logit(eps=1e-7)

    def noise_variance(self, x: Tensor) -> Tensor:
        """Variance of each feature at the mean of samples (N, *shape): shape (*shape)."""
        mean = x.mean(dim=0)
        return mean * (1 - mean)

    def check(self, x: Tensor) -> None:
        """Raise ValueError if a value is outside [0, 1] or NaN."""
        low, high = (float(bound) for bound in x.aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"the Bernoulli likelihood needs values in [0, 1], got {low:g} to {high:g}; "
                "scale the data or choose the gaussian likelihood"
            )

    def nearest(self, x: Tensor) -> Tensor:
        """Values clamped to [0, 1]."""
        return x.clamp(0, 1)


@dataclass(frozen=True)
class Unbounded:
    """What families of any real number share, whose decoder gives the mean.

    Source:
        Ours.
    """

    params_per_feature: ClassVar[int] = 1
    counts: ClassVar[bool] = False

    def mean(self, params: Tensor) -> Tensor:
        """The decoder's output itself."""
        return params

    def link(self, mean: Tensor) -> Tensor:
        """The mean itself."""
        return mean

    def check(self, x: Tensor) -> None:
        """Raise ValueError if a value is not finite."""
        bad = int((~torch.isfinite(x)).sum())
        if bad:
            raise ValueError(f"the likelihood needs finite values, got {bad} that are not")

    def nearest(self, x: Tensor) -> Tensor:
        """Return x itself: the support is unbounded."""
        return x


@dataclass(frozen=True)
class Gaussian(Unbounded):
    """Independent normal features of one fixed variance; the decoder gives means.

    Args:
        variance: Variance of every feature, in squared data units, above 0.

    Source:
        Kingma & Welling 2014, appendix C.2, with a fixed variance.
    """

    variance: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.variance < math.inf:
            raise ValueError(f"the variance must be above 0 and finite, got {self.variance}")

    def noise_variance(self, x: Tensor) -> Tensor:
        """The variance of every feature, whatever the samples (N, *shape): shape (*shape)."""
        return torch.full_like(x[0], self.variance)

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p(x) from means (A, B, *shape): shape (A, B), nats, summed over features."""
        constant = 0.5 * math.prod(params.shape[2:]) * math.log(2 * math.pi * self.variance)
        return _squared_error(params, x) / (2 * self.variance) + constant

    def elementwise(self, params: Tensor, x: Tensor) -> Tensor:
        """-log p of each value, nats, shape of params."""
        constant = 0.5 * math.log(2 * math.pi * self.variance)
        return (params - x).square() / (2 * self.variance) + constant

    def layer_nll(self, hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        """`nll` of what a linear layer gives, see `linear_squared_error`."""
        constant = 0.5 * weight.shape[2] * math.log(2 * math.pi * self.variance)
        return linear_squared_error(hidden, weight, bias, x) / (2 * self.variance) + constant


@dataclass(frozen=True)
class SquaredError(Unbounded):
    """Sum of squared errors: `Gaussian(variance=0.5)` without its constant, D/2 * log(pi) nats.

    Source:
        MMIDAS (Marghi et al. 2024), the reconstruction loss `MSE` of its public code, which also
        sums over features.
    """

    def noise_variance(self, x: Tensor) -> Tensor:
        """One half, whatever the samples (N, *shape): shape (*shape)."""
        return torch.full_like(x[0], 0.5)

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Squared error of means (A, B, *shape): shape (A, B), nats, summed over features."""
        return _squared_error(params, x)

    def elementwise(self, params: Tensor, x: Tensor) -> Tensor:
        """Squared error of each value, nats, shape of params."""
        return (params - x).square()

    def layer_nll(self, hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        """`nll` of what a linear layer gives, see `linear_squared_error`."""
        return linear_squared_error(hidden, weight, bias, x)


def half_null_deviance(family: Likelihood, x: Tensor) -> float:
    """What a sample says beyond the mean: E[log p(x | x) - log p(x | mean)], nats, at least 0.

    Args:
        family: A family whose decoder gives one parameter per feature.
        x: Samples, shape (N, *shape).

    Raises:
        ValueError: If the family has other parameters.

    Source:
        McCullagh & Nelder 1989, section 2.3: the deviance of the model without covariates.
    """
    link = getattr(family, "link", None)
    if link is None:
        raise ValueError(
            f"model.weight_unit=auto has no rule for model.likelihood {type(family).__name__}; set"
            " model.weight_unit to a number of nats"
        )
    x = x.double()
    mean = link(x.mean(dim=0)).expand_as(x)
    return float((family.nll(mean[None], x) - family.nll(link(x)[None], x)).mean())


def masked_nll(family: Likelihood, params: Tensor, x: Tensor, observed: Tensor) -> Tensor:
    """-log p of the values observed, shape (A, B), nats; others add 0, and get a gradient of 0.

    Args:
        x: Samples, shape (A, B, *shape), finite also where they are not observed.
        observed: Whether each value is, of the shape of x.

    Raises:
        ValueError: If the family gives no `elementwise` values.

    Source:
        Ours.
    """
    elementwise = getattr(family, "elementwise", None)
    if elementwise is None:
        raise ValueError(
            f"the likelihood {type(family).__name__} cannot leave out single values, which need a"
            " method `elementwise`; fill the missing values, or choose another likelihood"
        )
    values: Tensor = elementwise(params, x)
    return sum_features(torch.where(observed, values, torch.zeros_like(values)))


def _squared_error(params: Tensor, x: Tensor) -> Tensor:
    # One pass forward and one backward; written out it would be eight.
    return sum_features(F.mse_loss(params, x.expand_as(params), reduction="none"))


def sum_features(values: Tensor) -> Tensor:
    """Sum over the features: (A, B, *shape) to (A, B).

    Source:
        Ours.
    """
    return values.flatten(start_dim=2).sum(dim=-1)
