"""CascadeVAE: states released one after another, categories assigned to a batch at least cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from mixvae.contracts import Batch, MixturePosterior, MixtureStep
from mixvae.modules.base import Moment, OptimizerFactory
from mixvae.modules.mixture import AbstractMixture, AgentsFactory, evidence_of
from mixvae.objectives.assignment import assign_balanced
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.schedules import Schedule, as_schedule
from mixvae.objectives.terms import Terms
from mixvae.processes import gather_over_processes, own_share


class CascadeVAE(AbstractMixture):
    """One agent with q(s|x) and no q(c|x): a category is what explains a sample best.

    Minimises, in nats, summed over features and averaged over the batch,

        -log p(x|s, c) + beta_low KL of the released state dimensions
                       + beta_high KL of those not yet released

    Every `dimension_epochs` one more dimension is released. Until `category_after` of them are, the
    decoder sees no category, c = 0. From then on the categories of each batch are assigned at the
    least sum of -log p(x|s, c), where each pair that shares a category costs `pair_cost` more.

    For evaluation q(c|x) is softmax over c of log p(x|s, c) at the mean state, of which the
    largest is the assignment of a sample alone.

    Args:
        shape: Shape of one sample.
        agents: Builds the networks, see `AbstractMixture`; the categorical head stays unused.
        likelihood: p(x|s, c), of the values that the encoder sees.
        optimizer: Builds the optimiser from the parameters.
        num_categories: Number of categories K, at least 2.
        state_dim: Number of state dimensions S, at least 0.
        beta_low: Weight of the KL divergence of a released dimension, at least 0.
        beta_high: Weight of that of the others, at least `beta_low`.
        dimension_epochs: Epochs from one release to the next, above 0.
        category_after: Dimensions released before there are categories, in [0, S].
        pair_cost: Nats for each pair of a batch in one category, at least 0.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a size, a weight or a length is out of its range, or the likelihood is of
            raw counts, which an inference is not given.

    Source:
        CascadeVAE (Jeong & Song 2019), algorithm 1, and its public code, which starts Adam afresh
        for each release, decays the weights of its layers (4e-5) and multiplies the learning rate
        by .3 every 50,000 steps.
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
        beta_low: float = 0.1,
        beta_high: float = 10.0,
        dimension_epochs: float = 1.0,
        category_after: int = 4,
        pair_cost: float = 0.001,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
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
        if likelihood.counts:
            raise ValueError(
                "CascadeVAE infers a category from how well it explains x, but model.likelihood"
                f" {type(likelihood).__name__} describes raw counts; choose one of values"
            )
        for name, value in {"beta_low": beta_low, "pair_cost": pair_cost}.items():
            as_schedule(value, name=f"model.{name}", at_least=0)
        as_schedule(beta_high, name="model.beta_high", at_least=beta_low)
        as_schedule(dimension_epochs, name="model.dimension_epochs", above=0)
        if not 0 <= category_after <= state_dim:
            raise ValueError(
                f"model.category_after must lie in [0, model.state_dim = {state_dim}], got"
                f" {category_after}"
            )
        self.beta_low, self.beta_high = beta_low, beta_high
        self.dimension_epochs, self.category_after = dimension_epochs, category_after
        self.pair_cost = pair_cost
        # Nothing trains it; data-parallel training would wait for its gradients.
        self.agents.category_head.requires_grad_(False)

    def check_epochs(self, max_epochs: int) -> None:
        """Refuse a training that ends before all is released.

        Raises:
            ValueError: Naming both lengths.
        """
        needed = self.dimension_epochs * self.state_dim
        if needed >= max_epochs:
            raise ValueError(
                f"model.dimension_epochs is {self.dimension_epochs:g}, so the last of"
                f" {self.state_dim} dimensions and the categories are there after {needed:g} epochs"
                f" only, but trainer.max_epochs is {max_epochs}; shorten the one or raise the other"
            )

    def moment(self) -> Moment:
        """None: the categories of a batch are assigned on the host."""
        return None

    def num_released(self, epoch: float) -> int:
        """How many state dimensions are released at an epoch."""
        past = int(epoch / self.dimension_epochs)
        return min(past if self.has_categories(epoch) else past + 1, self.state_dim)

    def has_categories(self, epoch: float) -> bool:
        """Whether the decoder sees categories at an epoch."""
        return int(epoch / self.dimension_epochs) >= self.category_after

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        epoch, x = self.epoch, batch.x
        mean, logvar = self.agents.state_of(x)
        state = reparametrise(mean, logvar)
        category = state.new_zeros(1, len(x), self.num_categories)
        if self.has_categories(epoch):
            category = self._assign(x, state)
        terms = Terms()
        nll = self.likelihood.nll(self.agents.decode(category, state), x)
        terms.add("reconstruction", nll)
        released = self.num_released(epoch)
        low = kl_to_standard_normal(mean[..., :released], logvar[..., :released])
        high = kl_to_standard_normal(mean[..., released:], logvar[..., released:])
        terms.add("kl", low, self.beta_low)
        terms.add("kl_unreleased", high, self.beta_high)
        return terms

    @torch.no_grad()
    def _assign(self, x: Tensor, state: Tensor) -> Tensor:
        """The categories of a batch of all processes at least cost, one-hot, shape (1, B, K)."""
        # One sample's cost must not depend on how the others decode with wrong categories.
        with _evaluating(self.agents.decoder):
            cost = self._costs(x, state)
        cost = cost.masked_fill(~self.category_mask, torch.inf)
        whole = gather_over_processes(cost)
        kept = self.category_mask.nonzero().flatten()
        chosen = assign_balanced(whole[:, kept].cpu().numpy(), self.pair_cost)
        category = own_share(kept[torch.as_tensor(chosen, device=kept.device)], len(x))
        return functional.one_hot(category, self.num_categories).to(state.dtype).unsqueeze(0)

    def _costs(self, x: Tensor, state: Tensor) -> Tensor:
        """-log p(x|s, c) of each category, nats, shape (B, K)."""
        identity = torch.eye(self.num_categories, device=state.device, dtype=state.dtype)
        costs = [
            self.likelihood.nll(self.agents.decode(one.expand(1, len(x), -1), state), x)[0]
            for one in identity
        ]
        return torch.stack(costs, dim=-1)

    def infer(self, x: Tensor) -> MixturePosterior:
        """Categories by how well they explain x, and states, see the class."""
        mean, logvar = self.agents.state_of(x)
        probs = self.log_posterior(-self._costs(x, mean).unsqueeze(0)).exp()
        return MixturePosterior(probs, mean, logvar)

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The objective of a measured batch when all is released, a scalar in nats.

        Comparable over epochs, so that the best checkpoint can be chosen without labels.
        """
        terms = Terms()
        reconstruction, kl = evidence_of(step)
        terms.add("reconstruction", reconstruction)
        terms.add("kl", kl, self.beta_low)
        return terms.total()


@contextmanager
def _evaluating(network: torch.nn.Module) -> Iterator[None]:
    was = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was)
