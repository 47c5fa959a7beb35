"""beta-VAE without categories; k-means on its posterior means gives them afterwards."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from mixvae.contracts import Batch, MixturePosterior
from mixvae.modules.base import plain_number, spread_samples, weight_schedule
from mixvae.modules.mixture import AbstractMixture
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.kmeans import k_means
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms


class BetaVAE(AbstractMixture):
    """One agent with states only; a sample's category is the centre nearest to its mean state.

    Minimises -log p(x|s) + beta KL(q(s|x) || N(0, I)), in nats, summed over features and averaged
    over the batch. The centres are those of k-means on the posterior means of up to 5,000 training
    samples, found before each validation and at the end of each epoch, without labels. q(c|x) is
    the posterior of equal, round normal distributions at the centres with the variance of the
    samples around them: the nearest centre is the most probable. The decoder sees the state alone.

    Args:
        beta: Weight of the KL divergence, a number or a schedule over epochs.
        **shared: See `AbstractMixture`; the layers of `agents` that take a category in stay at 0,
            and state_dim is at least 1.

    Source:
        Higgins et al. 2017 (beta-VAE), eq. (4); k-means after it as in the comparisons of
        cpl-mixVAE's paper.
    """

    centres: Tensor
    variance: Tensor
    # The centres change each epoch, so merged ones would come apart: not `contracts.Mergeable`.
    merge = None  # type: ignore[assignment]
    state_sees_category = False

    def __init__(self, *, beta: float | Schedule = 1.0, **shared: Any) -> None:
        super().__init__(**shared)
        plain_number("state_dim", self.state_dim, at_least=1)
        self.beta = weight_schedule("beta", beta)
        with torch.no_grad():
            for parameter, _ in self.agents.category_axes():
                parameter.zero_().requires_grad_(False)
        self.register_buffer("centres", torch.zeros(self.num_categories, self.state_dim))
        self.register_buffer("variance", torch.ones(()))
        self._samples: Tensor | None = None
        self._found_at: int | None = None

    def prepare(self, batches: Collection[Batch]) -> None:
        """Keep up to 5,000 training samples for the centres; at least one a category."""
        super().prepare(batches)
        self._samples = spread_samples(batches)
        if len(self._samples) < self.num_categories:
            raise ValueError(
                f"model.num_categories is {self.num_categories}, more than the"
                f" {len(self._samples)} training samples; lower it"
            )

    def weights(self, epoch: float) -> dict[str, float]:
        """Beta for the KL divergence."""
        return {"reconstruction": 1.0, "kl": self.beta(epoch)}

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        mean, logvar = self.agents.state_of(batch.x)
        no_category = mean.new_zeros(*mean.shape[:2], self.num_categories)
        parameters = self.agents.decode(no_category, reparametrise(mean, logvar))
        terms = Terms(self.weights(self.epoch))
        terms.add("reconstruction", self.likelihood.nll(parameters, self.target(batch, batch.x)))
        terms.add("kl", kl_to_standard_normal(mean, logvar))
        return terms

    def infer(self, x: Tensor) -> MixturePosterior:
        """Categories by the centres around the mean states, and states."""
        mean, logvar = self.agents.state_of(x)
        distance = (mean.unsqueeze(-2) - self.centres).square().sum(dim=-1)
        probs = self.log_posterior(-0.5 * distance / self.variance).exp()
        return MixturePosterior(probs, mean, logvar)

    def on_validation_start(self) -> None:
        """Find the centres that the validation measures."""
        self.find_centres()

    def on_train_epoch_end(self) -> None:
        """Find the centres that the checkpoint keeps, unless a validation did."""
        super().on_train_epoch_end()
        self.find_centres()

    @torch.no_grad()
    def find_centres(self) -> None:
        """Find the centres anew, the same in every process; a function of the weights alone."""
        if self._samples is None or self._found_at == self.trainer.global_step:
            return
        self._found_at = self.trainer.global_step
        means = self.state_means(self._samples)
        centres = k_means(means, self.num_categories, generator=torch.Generator().manual_seed(0))
        self.centres.copy_(centres)
        distance = torch.cdist(means, centres).amin(dim=-1)
        variance = distance.square().mean() / self.state_dim
        self.variance.copy_(variance.clamp_min(torch.finfo(variance.dtype).eps))
