"""What VaDE and GMVAE share: a latent z whose prior is one Gaussian for each category."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence

import torch
from torch import Tensor

from mixvae.contracts import Batch, MixturePosterior, MixtureStep
from mixvae.modules.base import OptimizerFactory
from mixvae.modules.mixture import AbstractMixture, AgentsFactory, Tau, evidence_of
from mixvae.networks.gaussian_prior import GaussianPrior
from mixvae.objectives.divergences import categorical_kl, kl_to_standard_normal
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.relaxation import most_probable
from mixvae.objectives.schedules import Schedule, as_schedule
from mixvae.objectives.terms import Terms
from mixvae.processes import gather_over_processes


class AbstractGaussianMixture(AbstractMixture, ABC):
    """One agent whose decoder sees z alone; z ~ p(z|c) tells of category and state.

    The state that evaluation and figures see is where z lies within its category, see
    `networks.gaussian_prior`: 0 is the category's mean, 1 is one deviation of the prior away.

    Args:
        shape: Shape of one sample.
        agents: Builds the networks, see `AbstractMixture`.
        likelihood: p(x|z).
        optimizer: Builds the optimiser from the parameters.
        num_categories: Number of categories K, at least 2.
        state_dim: Number of dimensions S of z, at least 1.
        tau: See `AbstractMixture`.
        beta: Weight of both divergences, a number or a schedule over epochs.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.
        state_sees_category: Whether the posterior of z is q(z|x, c) and not q(z|x).

    Raises:
        ValueError: If a size, beta or tau is out of its range.
    """

    # Merged categories would go by one name, and each have a Gaussian of its own.
    merge = None  # type: ignore[assignment]  # a model without it is not `contracts.Mergeable`

    def __init__(
        self,
        *,
        shape: Sequence[int],
        agents: AgentsFactory,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        num_categories: int,
        state_dim: int,
        tau: Tau,
        beta: float | Schedule,
        learning_rate: float | Schedule,
        state_sees_category: bool,
    ) -> None:
        super().__init__(
            shape=shape,
            agents=agents,
            likelihood=likelihood,
            optimizer=optimizer,
            num_agents=1,
            num_categories=num_categories,
            state_dim=state_dim,
            tau=tau,
            learning_rate=learning_rate,
            state_sees_category=state_sees_category,
        )
        if state_dim < 1:
            raise ValueError(
                f"model.state_dim must be at least 1, got {state_dim}: the decoder sees z alone"
            )
        self.beta = as_schedule(beta, name="model.beta", at_least=0)
        self.prior = GaussianPrior(1, num_categories, state_dim)

    def log_prior(self) -> Tensor:
        """Log p(c), shape (K,), uniform over the kept categories; -inf where masked."""
        return self.mask_log(self.prior.mean.new_zeros(self.num_categories)).log_softmax(dim=-1)

    def decode_latent(self, z: Tensor) -> Tensor:
        """Parameters of p(x|z), shape (1, B, *decoded_shape), from z, shape (1, B, S)."""
        # What the decoder takes in of a category is 0: z alone tells it.
        return self.agents.decode(z.new_zeros(*z.shape[:2], self.num_categories), z)

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        """The mean of p(x|z), shape (1, B, *shape), at a state (1, B, S) within (1, B, K)."""
        return self.likelihood.mean(self.decode_latent(self.prior.latent(category, state)))

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> MixtureStep:
        """Infer and reconstruct a batch, at the most probable category."""
        posterior = self.infer(batch.x)
        category = most_probable(posterior.probs)
        parameters = self.decode_latent(self.prior.latent(category, posterior.state_mean))
        return MixtureStep(
            posterior=posterior,
            reconstruction=self.likelihood.nll(parameters, self.target(batch, batch.x[None])),
            kl=kl_to_standard_normal(posterior.state_mean, posterior.state_logvar),
        )

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The negative bound of a measured batch at beta's last value, a scalar in nats.

        Of the categories' sum only the most probable one's summand is measured.
        """
        reconstruction, kl = evidence_of(step)
        probs = step.posterior.probs
        log_q = self.mask_log(probs.clamp_min(torch.finfo(probs.dtype).tiny).log())
        terms = Terms()
        beta = self.beta(float("inf"))
        terms.add("reconstruction", gather_over_processes(reconstruction, dim=1))
        terms.add("kl", gather_over_processes(kl, dim=1), beta)
        divergence = categorical_kl(log_q, self.log_prior())
        terms.add("category_kl", gather_over_processes(divergence, dim=1), beta)
        return terms.total()

    def describe(self, log_q: Tensor, mean: Tensor, logvar: Tensor) -> MixturePosterior:
        """The posterior in the words of the contract.

        Args:
            log_q: log q(c|x), nats, shape (1, B, K).
            mean: Mean of z at the most probable category, shape (1, B, S).
            logvar: Its log-variance, natural log, shape (1, B, S).
        """
        probs = log_q.exp()
        return MixturePosterior(probs, *self.prior.state(most_probable(probs), mean, logvar))
