"""MMVAE+: a mixture of experts over shared latents, and latents of its own for each modality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mixvae.contracts import MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.modules.base import SETTLED, plain_number
from mixvae.modules.multimodal import AbstractMultimodalModule, Beta
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.importance import (
    component_draws,
    density_of,
    draws_of,
    log_mean_weight,
    log_standard_normal,
    shares_of,
)
from mixvae.objectives.mixture_prior import log_density, log_mixture, num_present, present_or_zero
from mixvae.objectives.posteriors import GaussianMixture, kl_bound, moments
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.terms import Terms


class MMVAEPlus(AbstractMultimodalModule):
    """Shared latents z that any modality can give, private latents w_m that only m can.

    Minimises, in nats, summed over features and averaged over the batch,

        (1/M) sum_m { sum_n -weight_n E log p(x_n|z_m, v_n)
                      + beta [ KL(q(z|X) || N(0, I)) at z_m + KL(q(w_m|x_m) || N(0, I)) ] }

    with z_m ~ q(z|x_m), q(z|X) the mixture of these, v_m ~ q(w_m|x_m) for n = m, and for n != m v_n
    from the learned private prior r_n(w), so that nothing private can pass from m to n.

    Args:
        private_dim: Number of private latent dimensions of each modality, at least 1.
        num_draws: 1 trains on the bound above. More, K, train on the importance-weighted bound of K
            draws from each modality, by DReG gradients; the logged terms are then means over draws
            by their weights.
        beta: Weight of the KL divergences, a number, a schedule over epochs, or `auto`.
        **shared: See `AbstractMultimodalModule`; latent_dim is that of the shared latents, which
            the posteriors hold.

    Source:
        Palumbo, Daunhawer & Vogt 2023 (MMVAE+), eq. (4) and, with `num_draws` of 10, their
        importance-weighted bound (IWAE, DReG gradients); normal distributions are in place of their
        Laplace ones; the mixture's KL is estimated with the draws. The mean of r_n is learned too;
        `decode` puts it in the place of w_n, also of m's own w_m where z_m is decoded into m: what
        coherence and the figures decode is from shared latents alone.
    """

    has_prior = True

    def __init__(
        self, *, private_dim: int = 2, num_draws: int = 1, beta: Beta = 1.0, **shared: Any
    ) -> None:
        plain_number("private_dim", private_dim, at_least=1)
        super().__init__(private_dim, **shared)
        plain_number("num_draws", num_draws, at_least=1)
        self.num_draws = num_draws
        self._set_beta(beta)
        shape = (self.num_modalities, private_dim)
        self.private_prior_mean = nn.Parameter(torch.zeros(shape))
        self.private_prior_logvar = nn.Parameter(torch.zeros(shape))

    def _split(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Shared and private parts of (M, B, L + P)."""
        shared, private = values.split([self.latent_dim, self.private_dim], dim=-1)
        return shared, private

    def weights(self, epoch: float) -> dict[str, float]:
        """Beta for both KL divergences."""
        beta = self.beta(epoch)
        return {"reconstruction": 1.0, "kl": beta, "private_kl": beta}

    def terms(self, batch: MultimodalBatch) -> Terms:
        """The objective on a batch, see the class; the reconstruction is summed over n."""
        present = batch.present
        (mean, private_mean), (logvar, private_logvar) = map(
            self._split, self.encode(batch.x, present)
        )
        usable = present | ~present.any(dim=1, keepdim=True)
        if self.num_draws > 1:
            own = GaussianMixture(private_mean, private_logvar, usable)
            return self._weighted_terms(batch, GaussianMixture(mean, logvar, usable), own)
        shared = present_or_zero(reparametrise(mean, logvar), present)
        private = present_or_zero(reparametrise(private_mean, private_logvar), present)
        nll = torch.stack(
            [self._cross_nll(shared, private[n], batch, n) for n in range(self.num_modalities)],
            dim=1,
        )
        standard = log_density(shared, torch.zeros_like(shared), torch.zeros_like(shared))
        mixture = log_mixture(shared, mean, logvar, usable) - standard
        terms = self.shared_terms(
            self.weights(self.epoch),
            self._over_sources(nll, present),
            self._average(mixture, present),
        )
        private_kl = kl_to_standard_normal(private_mean, private_logvar)
        terms.add("private_kl", self._average(private_kl, present), axes="B")
        return terms

    def _weighted_terms(
        self, batch: MultimodalBatch, joint: GaussianMixture, own: GaussianMixture
    ) -> Terms:
        """The terms of `num_draws` draws from each modality, averaged by their weights.

        Args:
            joint: The posteriors of the shared latents.
            own: Those of the private ones.
        """
        count = self.num_draws
        z, w = component_draws(joint, count), component_draws(own, count)
        flat = z.flatten(0, 1)
        kl = density_of(flat, joint, fixed=True) - log_standard_normal(flat)
        kl = kl.unflatten(0, z.shape[:2])
        own_mean, own_logvar = (part.detach().unsqueeze(1) for part in own[:2])
        private_kl = log_density(w, own_mean, own_logvar) - log_standard_normal(w)
        nll = torch.stack(
            [
                torch.stack([self._cross_nll(z[:, k], w[n, k], batch, n) for k in range(count)], 1)
                for n in range(self.num_modalities)
            ]
        )
        log_weights = -self.weighted(nll) - self.beta(self.epoch) * (kl + private_kl)
        share = shares_of(log_weights, joint.used, z, w)
        terms = self.shared_terms(
            self.weights(self.epoch), (share * nll).sum(dim=(1, 2)), (share * kl).sum(dim=(0, 1))
        )
        terms.add("private_kl", (share * private_kl).sum(dim=(0, 1)), axes="B")
        return terms

    def _cross_nll(self, shared: Tensor, own: Tensor, batch: MultimodalBatch, n: int) -> Tensor:
        """-log p(x_n|z_m, v_n) for each m, from shared draws (M, B, L): shape (M, B), nats."""
        size = (*shared.shape[:2], self.private_dim)
        mean, logvar = self.private_prior_mean[n], self.private_prior_logvar[n]
        private = reparametrise(mean.expand(size), logvar.expand(size))
        is_own = (torch.arange(self.num_modalities, device=shared.device) == n)[:, None, None]
        return self._nll(torch.cat([shared, torch.where(is_own, own, private)], -1), batch, n)

    def _average(self, values: Tensor, present: Tensor) -> Tensor:
        """The mean of (M, B) over the modalities present: shape (B,)."""
        return present_or_zero(values, present).sum(dim=0) / num_present(values, present)

    def _over_sources(self, nll: Tensor, present: Tensor) -> Tensor:
        """The mean of [m, n], shape (M, M, B), over the sources m present: shape (M, B)."""
        total = present_or_zero(nll.transpose(1, 2), present).sum(dim=0)
        return total.t() / num_present(nll[0], present)

    def code_of(self, latent: Tensor, modality: int) -> Tensor:
        """Shared latents (..., L) with the mean of the private prior of a modality.

        This holds for latents of that modality too: its own private latents are in the
        reconstruction of `measure`, but neither in `decode` nor in coherence.
        """
        private = self.private_prior_mean[modality].expand(*latent.shape[:-1], -1)
        return torch.cat([latent, private], dim=-1)

    def code_drawn(self, z: Tensor, modality: int, generator: torch.Generator | None) -> Tensor:
        """Shared draws (K, B, L) with draws of the private prior of a modality."""
        size = (*z.shape[:-1], self.private_dim)
        mean, logvar = self.private_prior_mean[modality], self.private_prior_logvar[modality]
        return torch.cat([z, reparametrise(mean.expand(size), logvar.expand(size), generator)], -1)

    def experts(self, x: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of the shared latents."""
        mean, logvar = (self._split(values)[0] for values in self.encode(x, present))
        return mean, logvar

    def joint_log_likelihood(
        self, batch: MultimodalBatch, num_draws: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """The bound of `AbstractGenerative`, with w_m ~ q(w_m|x_m) and the prior N(0, I) of w_m."""
        present = batch.present
        codes = map(self._split, self.encode(batch.x, present))
        (mean, private_mean), (logvar, private_logvar) = codes
        posterior = self.posterior_of(mean, logvar, present)
        z = draws_of(posterior, num_draws, generator)
        weights = log_standard_normal(z) - density_of(z, posterior)
        for m in range(self.num_modalities):
            size = (num_draws, *private_mean[m].shape)
            own = private_mean[m].expand(size), private_logvar[m].expand(size)
            w = reparametrise(*own, generator)
            ratio = log_standard_normal(w) - log_density(w, *own)
            weights = weights + torch.where(present[:, m], ratio, torch.zeros_like(ratio))
            weights = weights - self._nll(torch.cat([z, w], dim=-1), batch, m)
        return log_mean_weight(weights)

    def infer(self, x: Sequence[Tensor], present: Tensor) -> MultimodalPosterior:
        """The posteriors of the shared latents, and the moments of their mixture."""
        return self._posterior(*self.experts(x, present), present)

    def _posterior(self, mean: Tensor, logvar: Tensor, present: Tensor) -> MultimodalPosterior:
        return MultimodalPosterior(mean, logvar, *moments(self.posterior_of(mean, logvar, present)))

    def measure(self, batch: MultimodalBatch, pairs: Tensor | None = None) -> MultimodalStep:
        """Reconstruct m from its own z_m and w_m, and impute others from z_m; all at the means.

        The KL of the mixture is its upper bound, the mean over modalities, as it needs no draw.
        """
        present = batch.present
        codes, logvars = self.encode(batch.x, present)
        (mean, private_mean), (logvar, private_logvar) = map(self._split, (codes, logvars))
        mixture = self.posterior_of(mean, logvar, present)
        private_kl = kl_to_standard_normal(private_mean, private_logvar)
        return MultimodalStep(
            posterior=self._posterior(mean, logvar, present),
            reconstruction=self.reconstruction(codes, batch),
            imputation=self.imputation(mean, batch, pairs),
            kl=kl_bound(mixture) + self._average(private_kl, present),
            pairs=pairs,
        )

    def validated_pairs(self) -> Tensor | None:
        """All: the objective of a validation averages over all sources, as training does."""
        return None

    def settled_terms(self, step: MultimodalStep, present: Tensor) -> Terms:
        """As training: the mean over sources m of n's error, its own from its private latents."""
        own = torch.eye(self.num_modalities, dtype=torch.bool, device=present.device)
        each = torch.where(own.unsqueeze(-1), step.reconstruction, step.imputation)
        return self.shared_terms(self.weights(SETTLED), self._over_sources(each, present), step.kl)
