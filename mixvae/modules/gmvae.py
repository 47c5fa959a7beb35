"""GMVAE: a VAE whose latent is a mixture of Gaussians, with a network for the category."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mixvae.contracts import Batch, MixturePosterior
from mixvae.modules.gaussian_mixture import AbstractGaussianMixture
from mixvae.modules.mixture import Tau
from mixvae.objectives.gaussian_components import kl_to_components
from mixvae.objectives.relaxation import most_probable, reparametrise
from mixvae.objectives.terms import Terms


class GMVAE(AbstractGaussianMixture):
    """Gaussian-mixture VAE: q(c|x) q(z|x, c) against p(c) p(z|c) p(x|z), summed over c exactly.

    Minimises, in nats, summed over features and averaged over the batch,

        sum_c q(c|x) [ -log p(x|z_c) + beta KL(q(z|x, c) || p(z|c)) ] + beta KL(q(c|x) || p(c))

    with z_c drawn from q(z|x, c), p(z|c) learned and p(c) uniform. The sum over c needs K passes
    through the decoder and no relaxed draw.

    Args:
        tau: q(c|x) = softmax(logits / tau); `auto` is 1.

    Source:
        Kingma et al. 2014 (M2) without labels, with the Gaussian mixture over z of Dilokthanakul
        et al. 2016, whose second latent w, from which the components are generated, is left out:
        the components are parameters, as in public implementations named GMVAE.
    """

    def __init__(self, *, tau: Tau = "auto", **shared: Any) -> None:
        super().__init__(**shared)
        self.set_tau(tau)

    def infer(self, x: Tensor) -> MixturePosterior:
        """Category of x, shape (B, *shape), and state at the most probable one."""
        features = self.agents.features(x)
        log_q = self.log_categories(features)
        return self.describe(log_q, *self.agents.state(features, most_probable(log_q)))

    def latents(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x, c) for every c, each (1, B, K, S), of (1, B, H)."""
        count, size = self.num_categories, features.shape[1]
        category = torch.eye(count, dtype=features.dtype, device=features.device)
        mean, logvar = self.agents.state(
            features.repeat_interleave(count, dim=1), category.repeat(1, size, 1)
        )
        return mean.unflatten(1, (size, count)), logvar.unflatten(1, (size, count))

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        features = self.agents.features(batch.x)
        log_q = self.log_categories(features)
        q = log_q.exp()
        mean, logvar = self.latents(features)
        z = reparametrise(mean, logvar).flatten(1, 2)
        target = self.target(batch, batch.x[None]).repeat_interleave(self.num_categories, dim=1)
        nll = self.likelihood.nll(self.decode_latent(z), target).view_as(q)
        divergence = kl_to_components(mean, logvar, self.prior.mean, self.prior.logvar)
        reconstruction, kl = (q * nll).sum(dim=-1), (q * divergence).sum(dim=-1)
        return self.shared_terms(self.epoch, reconstruction, kl, log_q)
