"""beta-VAE without categories; k-means on its posterior means gives them afterwards."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mixvae.contracts import Batch, MixturePosterior, MixtureStep
from mixvae.modules.base import OptimizerFactory, spread_samples
from mixvae.modules.mixture import AbstractMixture, AgentsFactory, evidence_of
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.kmeans import k_means
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.schedules import Schedule, as_schedule
from mixvae.objectives.terms import Terms

# Training samples that are encoded at once for the centres.
CHUNK = 1000


class BetaVAE(AbstractMixture):
    """One agent with states only; a sample's category is the centre nearest to its mean state.

    Minimises -log p(x|s) + beta KL(q(s|x) || N(0, I)), in nats, summed over features and averaged
    over the batch. The centres are those of k-means on the posterior means of up to 5,000 training
    samples, found before each validation and at the end of each epoch; no label takes part. q(c|x)
    is that of equal, round normal distributions at the centres, whose variance is that of the
    samples around them, so its largest is the nearest centre. The decoder sees the state alone.

    Args:
        shape: Shape of one sample.
        agents: Builds the networks, see `AbstractMixture`; what takes a category in stays at 0.
        likelihood: p(x|s).
        optimizer: Builds the optimiser from the parameters.
        num_categories: Number of categories K, at least 2.
        state_dim: Number of state dimensions S, at least 1.
        beta: Weight of the KL divergence, a number or a schedule over epochs.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a size or beta is out of its range.

    Source:
        Higgins et al. 2017 (beta-VAE), eq. (4); k-means after it as in the comparisons of
        cpl-mixVAE's paper.
    """

    centres: Tensor
    variance: Tensor
    # Centres are found anew each epoch, so what was merged would come apart: no `Mergeable`.
    merge = None  # type: ignore[assignment]

    def __init__(
        self,
        *,
        shape: Sequence[int],
        agents: AgentsFactory,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        num_categories: int = 10,
        state_dim: int = 10,
        beta: float | Schedule = 1.0,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
        if state_dim < 1:
            raise ValueError(
                f"model.state_dim must be at least 1 without categories, got {state_dim}"
            )
        super().__init__(
            shape=shape,
            agents=agents,
            likelihood=likelihood,
            optimizer=optimizer,
            num_agents=1,
            num_categories=num_categories,
            state_dim=state_dim,
            learning_rate=learning_rate,
            state_sees_category=False,
        )
        self.beta = as_schedule(beta, name="model.beta", at_least=0)
        with torch.no_grad():
            for parameter, _ in self.agents.category_axes():
                parameter.zero_().requires_grad_(False)
        self.register_buffer("centres", torch.zeros(num_categories, state_dim))
        self.register_buffer("variance", torch.ones(()))
        self._samples: Tensor | None = None
        self._found_at: int | None = None

    def prepare(self, batches: Collection[Batch]) -> None:
        """Keep the samples that the centres are found with, see `AbstractModule.prepare`.

        Raises:
            ValueError: If there are fewer of them than categories.
        """
        super().prepare(batches)
        self._samples = spread_samples(batches)
        if len(self._samples) < self.num_categories:
            raise ValueError(
                f"model.num_categories is {self.num_categories}, more than the"
                f" {len(self._samples)} training samples; lower it"
            )

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        mean, logvar = self.agents.state_of(batch.x)
        parameters = self.agents.decode(self._no_category(mean), reparametrise(mean, logvar))
        terms = Terms()
        target = self.target(batch, batch.x)
        terms.add("reconstruction", self.likelihood.nll(parameters, target))
        terms.add("kl", kl_to_standard_normal(mean, logvar), self.beta(self.epoch))
        return terms

    def _no_category(self, state: Tensor) -> Tensor:
        return state.new_zeros(*state.shape[:2], self.num_categories)

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
        """Find the centres that the checkpoint keeps, where no validation did."""
        super().on_train_epoch_end()
        self.find_centres()

    @torch.no_grad()
    def find_centres(self) -> None:
        """Find the centres anew, the same in every process; a function of the weights alone."""
        if self._samples is None or self._found_at == self.trainer.global_step:
            return
        self._found_at = self.trainer.global_step
        was = self.agents.training
        self.agents.eval()
        chunks = self._samples.to(self.centres).split(CHUNK)
        means = torch.cat([self.agents.state_of(x)[0][0] for x in chunks])
        self.agents.train(was)
        centres = k_means(means, self.num_categories, generator=torch.Generator().manual_seed(0))
        self.centres.copy_(centres)
        distance = torch.cdist(means, centres).amin(dim=-1)
        variance = distance.square().mean() / self.state_dim
        self.variance.copy_(variance.clamp_min(torch.finfo(variance.dtype).eps))

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The objective of a measured batch at the last beta, a scalar in nats.

        Comparable over epochs, so that the best checkpoint can be chosen without labels.
        """
        terms = Terms()
        reconstruction, kl = evidence_of(step)
        terms.add("reconstruction", reconstruction)
        terms.add("kl", kl, self.beta(math.inf))
        return terms.total()
