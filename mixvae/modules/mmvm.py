"""MMVM: a VAE for each modality, drawn together by the mixture of their posteriors as a prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from mixvae.contracts import ModalitySpec, MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.modules.base import OptimizerFactory
from mixvae.modules.multimodal import (
    SETTLED,
    AbstractMultimodalModule,
    NetworksFactory,
    check_alpha,
)
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.mixture_prior import mixture_kl, pairwise_kl, present_or_zero
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms

MixturePriorKL = Literal["pairwise", "mixture"]
KL_KINDS: tuple[str, ...] = get_args(MixturePriorKL)
EVALUATION_DRAWS = 64
"""Shared by all events, so that their mean over events does not gain by many events."""


class MMVM(AbstractMultimodalModule):
    """Multimodal variational mixture-of-experts prior: no joint posterior, one soft tie.

    Minimises, in nats, summed over features and averaged over the batch,

        sum_m -weight_m E log p(x_m|z_m)
        + beta [ (1 - alpha) D(q_1, ..., q_M) + alpha sum_m KL(q(z_m|x_m) || N(0, I)) ]

    with D = sum_m KL(q_m || h), h the mixture of all q_m (`kl: mixture`), or its upper bound, the
    mean over n of the pairwise KL(q_m || q_n), summed over m (`kl: pairwise`, which gave the
    authors' results). alpha = 1 makes independent VAEs.

    Args:
        modalities: Name and shape of each modality.
        networks: Builds the networks from shapes and latent_dim.
        likelihood: p(x_m|z) of every modality without one of its own.
        optimizer: Builds the optimiser from the parameters.
        latent_dim: Number of latent dimensions L, at least 1.
        kl: `pairwise`, exact, linear in M; or `mixture`, estimated with the draw of each z_m that
            is decoded, at a cost of M^2 small terms.
        beta: Weight of the regulariser, a number or a schedule over epochs, at least 0.
        alpha: Share of the standard normal prior, a number or a schedule over epochs, in [0, 1].
        likelihoods: p(x_m|z) of some modalities, by name.
        weights: Weight of the reconstruction of some modalities, by name; 1 for others.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a value is out of its range, or a name is that of no modality.

    Source:
        MMVM (Sutter et al., NeurIPS 2024), eqs. (3) and (4). In mmvmvae beta enters squared in
        the unimodal model and annealing divides both terms by M; here beta enters once, and both
        are sums over modalities. Their KL is `pairwise`; eq. (4) itself is `mixture`. Missing
        modalities are ours: h mixes those that are present.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[ModalitySpec],
        networks: NetworksFactory,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        latent_dim: int = 2,
        kl: MixturePriorKL = "pairwise",
        beta: float | Schedule = 1.0,
        alpha: float | Schedule = 0.0,
        likelihoods: Mapping[str, Likelihood] | None = None,
        weights: Mapping[str, float] | None = None,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
        super().__init__(
            modalities=modalities,
            networks=networks,
            likelihood=likelihood,
            optimizer=optimizer,
            latent_dim=latent_dim,
            beta=beta,
            likelihoods=likelihoods,
            weights=weights,
            learning_rate=learning_rate,
        )
        if kl not in KL_KINDS:
            raise ValueError(f"model.kl must be one of {', '.join(KL_KINDS)}, got {kl!r}")
        self.kl = kl
        self.alpha = check_alpha(alpha)

    def terms(self, batch: MultimodalBatch) -> Terms:
        """The objective on a batch, see the class; each term is summed over modalities."""
        present, epoch = batch.present, self.epoch
        mean, logvar = self.encode(batch.x, present)
        sample = reparametrise(mean, logvar)
        alpha, beta = self.alpha(epoch), self.beta(epoch)
        terms = Terms()
        reconstruction = self.weighted(self.reconstruction(sample, batch))
        terms.add("reconstruction", reconstruction, axes="B")
        divergence = self._divergence(mean, logvar, sample, present)
        terms.add("kl", divergence, beta * (1 - alpha), axes="B")
        terms.add("prior_kl", _prior_kl(mean, logvar, present), beta * alpha, axes="B")
        return terms

    def _divergence(self, mean: Tensor, logvar: Tensor, sample: Tensor, present: Tensor) -> Tensor:
        if self.kl == "pairwise":
            return pairwise_kl(mean, logvar, present)
        return mixture_kl(mean, logvar, sample, present)

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """The unimodal posteriors of x, M tensors (B, *shape_m); there is no joint one."""
        return MultimodalPosterior(*self.encode(x, present))

    def predict_step(self, batch: MultimodalBatch, batch_idx: int = 0) -> MultimodalStep:
        """Infer, reconstruct and impute a batch from the means of the unimodal posteriors."""
        posterior = self.infer(batch.x, batch.present)
        return MultimodalStep(
            posterior=posterior,
            reconstruction=self.reconstruction(posterior.mean, batch),
            imputation=self.imputation(posterior.mean, batch),
            kl=self._settled_kl(posterior, batch.present),
        )

    def _settled_kl(self, posterior: MultimodalPosterior, present: Tensor) -> Tensor:
        """The regulariser at the last alpha, shape (B,), nats.

        `mixture` is estimated with one fixed set of draws that all events share, so that a test can
        be repeated, an event's value does not depend on the batch that it comes in, and no random
        number that training would use is spent.
        """
        mean, logvar, alpha = posterior.mean, posterior.logvar, self.alpha(SETTLED)
        if self.kl == "pairwise":
            divergence = pairwise_kl(mean, logvar, present)
        else:
            shape = (EVALUATION_DRAWS, len(mean), 1, self.latent_dim)
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(shape, generator=generator, dtype=mean.dtype).to(mean.device)
            deviation = (0.5 * logvar).exp()
            draws = [mixture_kl(mean, logvar, mean + deviation * one, present) for one in noise]
            divergence = torch.stack(draws).mean(dim=0)
        return (1 - alpha) * divergence + alpha * _prior_kl(mean, logvar, present)


def _prior_kl(mean: Tensor, logvar: Tensor, present: Tensor) -> Tensor:
    """Sum over the modalities present of KL(q_m || N(0, I)), shape (B,), nats."""
    return present_or_zero(kl_to_standard_normal(mean, logvar), present).sum(dim=0)
