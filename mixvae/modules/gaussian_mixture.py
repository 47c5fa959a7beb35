"""What VaDE and GMVAE share: a latent z whose prior is one Gaussian for each category."""

from __future__ import annotations

from abc import ABC
from typing import Any

from torch import Tensor

from mixvae.contracts import MixturePosterior
from mixvae.modules.base import weight_schedule
from mixvae.modules.mixture import AbstractMixture
from mixvae.networks.gaussian_prior import GaussianPrior
from mixvae.objectives.divergences import categorical_kl
from mixvae.objectives.relaxation import most_probable
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms


class AbstractGaussianMixture(AbstractMixture, ABC):
    """One agent whose decoder sees z alone; z ~ p(z|c) carries category and state.

    Evaluation and figures see z relative to its category as the state, see
    `networks.gaussian_prior`: 0 is the category's mean, 1 is one deviation of the prior away.

    Args:
        beta: Weight of both divergences, a number or a schedule over epochs.
        **shared: See `AbstractMixture`; state_dim, at least 1, is the number of dimensions S of z.
    """

    # Merged categories would have one name and several Gaussians: not `contracts.Mergeable`.
    merge = None  # type: ignore[assignment]

    def __init__(self, *, beta: float | Schedule = 1.0, **shared: Any) -> None:
        super().__init__(**shared)
        if self.state_dim < 1:
            raise ValueError(
                f"model.state_dim must be at least 1, got {self.state_dim}: the decoder sees z"
                " alone"
            )
        self.beta = weight_schedule("beta", beta)
        self.prior = GaussianPrior(1, self.num_categories, self.state_dim)

    def weights(self, epoch: float) -> dict[str, float]:
        """Beta for the divergences of z and of the category."""
        beta = self.beta(epoch)
        return {"reconstruction": 1.0, "kl": beta, "category_kl": beta}

    def log_prior(self) -> Tensor:
        """Log p(c), shape (K,), uniform over the kept categories; -inf where masked."""
        return self.mask_log(self.prior.mean.new_zeros(self.num_categories)).log_softmax(dim=-1)

    def decode_latent(self, z: Tensor) -> Tensor:
        """Parameters of p(x|z), shape (1, B, *decoded_shape), from z, shape (1, B, S)."""
        # The decoder's input for a category is 0.
        return self.agents.decode(z.new_zeros(*z.shape[:2], self.num_categories), z)

    def decoded(self, category: Tensor, state: Tensor) -> Tensor:
        """Parameters of p(x|z) at a state (1, B, S) within a category (1, B, K)."""
        return self.decode_latent(self.prior.latent(category, state))

    def shared_terms(
        self, epoch: float, reconstruction: Tensor, kl: Tensor, log_q: Tensor
    ) -> Terms:
        """The negative bound; validation measures the most probable category's summand alone."""
        terms = super().shared_terms(epoch, reconstruction, kl, log_q)
        terms.add("category_kl", categorical_kl(log_q, self.log_prior()))
        return terms

    def describe(self, log_q: Tensor, mean: Tensor, logvar: Tensor) -> MixturePosterior:
        """The posterior by log q(c|x), (1, B, K), and z at the most probable c, (1, B, S)."""
        probs = log_q.exp()
        return MixturePosterior(probs, *self.prior.state(most_probable(probs), mean, logvar))
