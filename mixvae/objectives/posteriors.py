"""Joint posteriors q(z|X) from unimodal ones: AVG, PoE, MoE, MoPoE.

All are mixtures in equal parts of diagonal Gaussians: one component for AVG and PoE, one for each
modality for MoE, one for each set of modalities for MoPoE. None depends on the order of the
modalities, nor on that of the samples of a batch.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.mixture_prior import num_present, present_or_zero
from mixvae.objectives.relaxation import reparametrise

AggregateKind = Literal["avg", "poe", "moe", "mopoe"]
PriorExpert = bool | Literal["full"]
AGGREGATE_KINDS: tuple[str, ...] = get_args(AggregateKind)
MAX_SUBSET_MODALITIES = 12


class GaussianMixture(NamedTuple):
    """A mixture in equal parts of diagonal Gaussians, for each sample of a batch.

    Attributes:
        mean: Means of the N components, shape (N, B, L).
        logvar: Their log-variances, natural log, shape (N, B, L).
        used: Components of each sample, shape (B, N), bool; at least one.
    """

    mean: Tensor
    logvar: Tensor
    used: Tensor


def aggregate(
    mean: Tensor,
    logvar: Tensor,
    present: Tensor,
    kind: AggregateKind,
    prior_expert: PriorExpert = False,
) -> GaussianMixture:
    """The joint posterior of the modalities that are present.

    Args:
        mean: Means of the unimodal posteriors, shape (M, B, L).
        logvar: Their log-variances, natural log, shape (M, B, L).
        present: Modalities present in each event, shape (B, M), bool.
        kind: `avg`: one Gaussian with the mean of the means and the mean of the variances; `poe`:
            the product of the experts; `moe`: their mixture; `mopoe`: the mixture of the products
            of all 2^M - 1 sets of modalities, those with a missing one left out.
        prior_expert: Whether N(0, I) is one more expert of every product, for `poe` and `mopoe`;
            `full`: of the product of all M modalities alone.

    Returns:
        The joint posterior; N(0, I) where no modality is present.

    Source:
        AVG: Hosoya 2018, as in the baselines of MMVM (Sutter et al. 2024). PoE: Wu & Goodman 2018,
        whose prior expert is optional here. MoE: Shi et al. 2019. MoPoE: Sutter et al. 2021, eq.
        (5); in its authors' code and in MultiVae the prior is an expert of the full set (`full`).
    """
    if kind not in AGGREGATE_KINDS:
        raise ValueError(f"aggregate must be one of {', '.join(AGGREGATE_KINDS)}, got {kind!r}")
    num_modalities = mean.shape[0]
    mean, logvar = present_or_zero(mean, present), present_or_zero(logvar, present)
    nothing = ~present.any(dim=1, keepdim=True)
    if kind == "moe":
        return GaussianMixture(mean, logvar, present | nothing)
    if kind == "avg":
        count = num_present(mean, present).unsqueeze(-1)
        # With nothing present the variances' sum would be 0.
        shown = logvar.masked_fill(~(present | nothing).t().unsqueeze(-1), -math.inf)
        average = (mean.sum(dim=0) / count, torch.logsumexp(shown, dim=0) - count.log())
        # With nothing present, M standard normals were summed and divided by 1.
        single = torch.where(nothing, torch.zeros_like(average[1]), average[1])
        return GaussianMixture(average[0][None], single[None], torch.ones_like(nothing))
    sets = torch.ones(1, num_modalities, dtype=torch.bool, device=mean.device)
    if kind == "mopoe":
        sets = subsets(num_modalities, mean.device)
    with_prior = sets.all(dim=1) if prior_expert == "full" else prior_expert
    product = product_of_experts(mean, logvar, present, sets, with_prior)
    if kind == "poe":
        return GaussianMixture(*product, torch.ones_like(nothing))
    # A set is whole if it holds no missing modality.
    whole = (~present).to(mean.dtype) @ sets.t().to(mean.dtype) == 0
    return GaussianMixture(*product, whole | nothing)


def subsets(num_modalities: int, device: torch.device | None = None) -> Tensor:
    """All 2^M - 1 non-empty sets of modalities.

    Args:
        num_modalities: Number of modalities M, from 1 to `MAX_SUBSET_MODALITIES`.

    Returns:
        Modalities of each set, shape (2^M - 1, M), bool.

    Source:
        Sutter et al. 2021 (MoPoE), the powerset without the empty set.
    """
    if not 1 <= num_modalities <= MAX_SUBSET_MODALITIES:
        raise ValueError(
            f"mopoe mixes the products of all sets of modalities, which is possible for 1 to"
            f" {MAX_SUBSET_MODALITIES} modalities; got {num_modalities}; use poe or moe"
        )
    number = torch.arange(1, 2**num_modalities, device=device).unsqueeze(1)
    return (number >> torch.arange(num_modalities, device=device)) % 2 == 1


def product_of_experts(
    mean: Tensor,
    logvar: Tensor,
    present: Tensor,
    sets: Tensor,
    prior_expert: bool | Tensor = False,
) -> tuple[Tensor, Tensor]:
    """Multiply, for each set of modalities, the Gaussian experts that are present.

    Args:
        mean: Means of the experts, shape (M, B, L).
        logvar: Their log-variances, natural log, shape (M, B, L).
        present: Modalities present in each event, shape (B, M), bool.
        sets: Experts of each set, shape (N, M), bool.
        prior_expert: Whether N(0, I) is one more expert of every set, or of each, shape (N,), bool.

    Returns:
        Mean and log-variance of each product, each of shape (N, B, L); N(0, I) if a set has no
        expert present.

    Source:
        Wu & Goodman 2018 (MVAE): precisions add up, means are weighted by them. Their code adds
        1e-8 to variances and precisions; ours is exact, and one expert gives back itself.
    """
    mean, logvar = present_or_zero(mean, present), present_or_zero(logvar, present)
    precision = present_or_zero(torch.exp(-logvar), present)
    total = _sum_of_sets(precision, sets)
    weighted = _sum_of_sets(precision * mean, sets)
    if isinstance(prior_expert, Tensor):
        total = total + prior_expert.to(total.dtype)[:, None, None]
    elif prior_expert:
        total = total + 1
    # N(0, I) alone: of a set without an expert.
    total = torch.where(total == 0, torch.ones_like(total), total)
    return weighted / total, -total.log()


def _sum_of_sets(values: Tensor, sets: Tensor) -> Tensor:
    """Sum values of experts, (M, B, L), over each set, to (N, B, L).

    As a product of matrices it would be rounded to bf16 under autocast and to TF32 on a GPU, by
    several standard deviations of a narrow posterior.
    """
    left_out = zip(values, (~sets).t(), strict=True)
    return reduce(
        torch.add, [value.masked_fill(out[:, None, None], 0.0) for value, out in left_out]
    )


def moments(mixture: GaussianMixture) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of a mixture, per dimension.

    Returns:
        Mean and log-variance, each of shape (B, L); for one component its own, exactly.

    Source:
        The law of total variance.
    """
    if mixture.mean.shape[0] == 1:
        return mixture.mean[0], mixture.logvar[0]
    used = mixture.used
    count = num_present(mixture.mean, used).unsqueeze(-1)
    mean = present_or_zero(mixture.mean, used).sum(dim=0) / count
    within = present_or_zero(mixture.logvar.exp(), used).sum(dim=0) / count
    between = present_or_zero((mixture.mean - mean).square(), used).sum(dim=0) / count
    return mean, (within + between).log()


def draw(mixture: GaussianMixture, generator: torch.Generator | None = None) -> Tensor:
    """Draw from a mixture: for each sample one of its components at random, then from that.

    Args:
        generator: Source of randomness on its device; None takes the global one.

    Returns:
        One draw for each sample, shape (B, L), differentiable in mean and log-variance.

    Source:
        Shi et al. 2019 and Sutter et al. 2021 as samplers of one draw. mmvmvae gives contiguous
        slices of the batch to the components, so that its objective depends on the order of the
        samples: here each sample draws its own.
    """
    if mixture.mean.shape[0] == 1:
        return reparametrise(mixture.mean[0], mixture.logvar[0], generator)
    chances = mixture.used.to(mixture.mean.dtype)
    choice = torch.multinomial(chances, 1, generator=generator)
    index = choice.t().unsqueeze(-1).expand(1, *mixture.mean.shape[1:])
    mean, logvar = mixture.mean.gather(0, index)[0], mixture.logvar.gather(0, index)[0]
    return reparametrise(mean, logvar, generator)


def kl_bound(mixture: GaussianMixture) -> Tensor:
    """Upper bound on KL(mixture || N(0, I)): the mean of its components' KL divergences.

    Returns:
        Shape (B,), nats, summed over L, averaged over components; exact for one component.

    Source:
        Sutter et al. 2021 (MoPoE), Lemma 2: the KL divergence is convex. In mmvmvae this joint
        term enters the loss once for each modality: here once.
    """
    each = present_or_zero(kl_to_standard_normal(mixture.mean, mixture.logvar), mixture.used)
    return each.sum(dim=0) / num_present(mixture.mean, mixture.used)
