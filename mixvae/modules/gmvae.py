"""GMVAE: a VAE whose latent is a mixture of Gaussians, with a network for the category."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixvae.contracts import Batch, MixturePosterior
from mixvae.modules.base import OptimizerFactory
from mixvae.modules.gaussian_mixture import AbstractGaussianMixture
from mixvae.modules.mixture import AgentsFactory, Tau
from mixvae.objectives.divergences import categorical_kl
from mixvae.objectives.gaussian_components import kl_to_components
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.relaxation import most_probable, reparametrise
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms


class GMVAE(AbstractGaussianMixture):
    """Gaussian-mixture VAE: q(c|x) q(z|x, c) against p(c) p(z|c) p(x|z), summed over c exactly.

    Minimises, in nats, summed over features and averaged over the batch,

        sum_c q(c|x) [ -log p(x|z_c) + beta KL(q(z|x, c) || p(z|c)) ] + beta KL(q(c|x) || p(c))

    with z_c drawn from q(z|x, c), p(z|c) learned and p(c) uniform. No draw of c is relaxed; the
    price is K passes through the decoder.

    Args:
        shape: Shape of one sample.
        agents: Builds the networks, see `AbstractMixture`.
        likelihood: p(x|z).
        optimizer: Builds the optimiser from the parameters.
        num_categories: Number of categories K, at least 2.
        state_dim: Number of dimensions S of z, at least 1.
        tau: q(c|x) = softmax(logits / tau); `auto` is 1.
        beta: Weight of both divergences, a number or a schedule over epochs.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a size, a weight or tau is out of its range.

    Source:
        Kingma et al. 2014 (M2) without labels, with the Gaussian mixture over z of Dilokthanakul
        et al. 2016, whose second latent w, from which the components are generated, is left out:
        the components are parameters. So in public implementations that go by the name GMVAE.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        agents: AgentsFactory,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        num_categories: int = 10,
        state_dim: int = 10,
        tau: Tau = "auto",
        beta: float | Schedule = 1.0,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
        super().__init__(
            shape=shape,
            agents=agents,
            likelihood=likelihood,
            optimizer=optimizer,
            num_categories=num_categories,
            state_dim=state_dim,
            tau=tau,
            beta=beta,
            learning_rate=learning_rate,
            state_sees_category=True,
        )

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
        terms, beta = Terms(), self.beta(self.epoch)
        terms.add("reconstruction", (q * nll).sum(dim=-1))
        terms.add("kl", (q * divergence).sum(dim=-1), beta)
        terms.add("category_kl", categorical_kl(log_q, self.log_prior()), beta)
        return terms
