"""MMVM: a VAE for each modality, drawn together by the mixture of their posteriors as a prior."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from mixvae.contracts import MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.modules.base import SETTLED
from mixvae.modules.modality_checks import MAX_SOURCES
from mixvae.modules.multimodal import AbstractMultimodalModule, Beta
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.importance import (
    density_of,
    draws_of,
    log_mean_weight,
    log_standard_normal,
)
from mixvae.objectives.mixture_prior import mixture_kl, pairwise_kl, present_or_zero
from mixvae.objectives.posteriors import GaussianMixture
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.schedules import Schedule, as_schedule
from mixvae.objectives.terms import Terms

MixturePriorKL = Literal["pairwise", "mixture"]
KL_KINDS: tuple[str, ...] = get_args(MixturePriorKL)
EVALUATION_DRAWS = 64
"""Shared by all events, so that their mean does not improve with the number of events; fewer where
more modalities than `MAX_SOURCES` have draws of their own."""


class MMVM(AbstractMultimodalModule):
    """Multimodal variational mixture-of-experts prior: no joint posterior, one soft tie.

    Minimises, in nats, summed over features and averaged over the batch,

        sum_m -weight_m E log p(x_m|z_m)
        + beta [ (1 - alpha) D(q_1, ..., q_M) + alpha sum_m KL(q(z_m|x_m) || N(0, I)) ]

    with D = sum_m KL(q_m || h), h the mixture of all q_m (`kl: mixture`), or its upper bound, the
    mean over n of the pairwise KL(q_m || q_n), summed over m (`kl: pairwise`, which gave the
    authors' results). alpha = 1 makes independent VAEs.

    Args:
        kl: `pairwise`, exact, linear in M; or `mixture`, estimated with the draw of each z_m that
            is decoded, at a cost of M^2 small terms.
        beta: Weight of the regulariser, a number, a schedule over epochs, or `auto`.
        alpha: Share of the standard normal prior, a number or a schedule over epochs, in [0, 1].

    Source:
        MMVM (Sutter et al., NeurIPS 2024), eqs. (3) and (4). In mmvmvae beta enters squared in
        the unimodal model and annealing divides both terms by M; here beta enters once, and both
        are sums over modalities. Their KL is `pairwise`; eq. (4) itself is `mixture`. Missing
        modalities are ours: h mixes those that are present.
    """

    def __init__(
        self,
        *,
        kl: MixturePriorKL = "pairwise",
        beta: Beta = 1.0,
        alpha: float | Schedule = 0.0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self._set_beta(beta)
        if kl not in KL_KINDS:
            raise ValueError(f"model.kl must be one of {', '.join(KL_KINDS)}, got {kl!r}")
        self.kl = kl
        self.alpha = _check_alpha(alpha)

    def weights(self, epoch: float) -> dict[str, float]:
        """Beta, shared by alpha between the two divergences."""
        alpha, beta = self.alpha(epoch), self.beta(epoch)
        return {"reconstruction": 1.0, "kl": beta * (1 - alpha), "prior_kl": beta * alpha}

    def terms(self, batch: MultimodalBatch) -> Terms:
        """The objective on a batch, see the class; each term is summed over modalities."""
        present = batch.present
        mean, logvar = self.encode(batch.x, present)
        sample = reparametrise(mean, logvar)
        reconstruction = self.reconstruction(sample, batch)
        divergence = self._divergence(mean, logvar, sample, present)
        terms = self.shared_terms(self.weights(self.epoch), reconstruction, divergence)
        terms.add("prior_kl", _prior_kl(mean, logvar, present), axes="B")
        return terms

    def settled_terms(self, step: MultimodalStep, present: Tensor) -> Terms:
        """As the base; `step.kl` holds both divergences, shared by alpha, so its weight is beta."""
        weights = {**self.weights(SETTLED), "kl": self.beta(SETTLED)}
        return self.shared_terms(weights, step.reconstruction, step.kl)

    def _divergence(self, mean: Tensor, logvar: Tensor, sample: Tensor, present: Tensor) -> Tensor:
        if self.kl == "pairwise":
            return pairwise_kl(mean, logvar, present)
        return mixture_kl(mean, logvar, sample, present)

    def joint_log_likelihood(
        self, batch: MultimodalBatch, num_draws: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Sum over m of log (1/K) sum_k p(x_m|z_k) h(z_k) / q_m(z_k), z_k ~ q_m: shape (B,), nats.

        The prior h mixes an event's own posteriors (it is N(0, I) if alpha ends at 1), so this
        is no likelihood of one model of all events, and not comparable with those of other models.
        """
        present = batch.present
        mean, logvar = self.encode(batch.x, present)
        mixture = self.posterior_of(mean, logvar, present)
        alone = torch.ones(len(present), 1, dtype=torch.bool, device=present.device)
        parts = []
        for m in range(self.num_modalities):
            own = GaussianMixture(mean[m : m + 1], logvar[m : m + 1], alone)
            z = draws_of(own, num_draws, generator)
            independent = self.alpha(SETTLED) == 1
            prior = log_standard_normal(z) if independent else density_of(z, mixture)
            weights = prior - density_of(z, own) - self._nll(z, batch, m)
            parts.append(log_mean_weight(weights))
        return present_or_zero(torch.stack(parts), present).sum(dim=0)

    def regulariser(self, posterior: MultimodalPosterior, present: Tensor) -> Tensor:
        """The regulariser at the last alpha, shape (B,), nats.

        `mixture` is estimated with one fixed set of draws for all events: a test is repeatable, an
        event's value does not depend on its batch, and training's random numbers do not change.
        """
        mean, logvar, alpha = posterior.mean, posterior.logvar, self.alpha(SETTLED)
        if self.kl == "pairwise":
            divergence = pairwise_kl(mean, logvar, present)
        else:
            draws_each = min(EVALUATION_DRAWS, -(-EVALUATION_DRAWS * MAX_SOURCES // len(mean)))
            shape = (draws_each, len(mean), 1, self.latent_dim)
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(shape, generator=generator, dtype=mean.dtype).to(mean.device)
            deviation = (0.5 * logvar).exp()
            draws = [mixture_kl(mean, logvar, mean + deviation * one, present) for one in noise]
            divergence = torch.stack(draws).mean(dim=0)
        return (1 - alpha) * divergence + alpha * _prior_kl(mean, logvar, present)


def _prior_kl(mean: Tensor, logvar: Tensor, present: Tensor) -> Tensor:
    """Sum over the modalities present of KL(q_m || N(0, I)), shape (B,), nats."""
    return present_or_zero(kl_to_standard_normal(mean, logvar), present).sum(dim=0)


def _check_alpha(alpha: float | Schedule) -> Schedule:
    """The share of a regulariser as a schedule; raise ValueError if it ever leaves [0, 1]."""
    schedule = as_schedule(alpha, name="model.alpha")
    ends = (schedule.smallest, schedule(0.0), schedule(SETTLED))
    for value in (min(ends), max(ends)):
        if not 0 <= value <= 1:
            raise ValueError(f"model.alpha must lie in [0, 1], got {value:g}")
    return schedule
