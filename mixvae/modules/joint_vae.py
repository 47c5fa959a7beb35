"""JointVAE: one VAE of categories and states, each with a capacity that grows with training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from mixvae.contracts import Batch, MixtureStep
from mixvae.modules.base import OptimizerFactory
from mixvae.modules.mixture import AbstractMixture, AgentsFactory, evidence_of
from mixvae.objectives.capacity import capacity_penalty, kl_to_uniform
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.relaxation import gumbel_softmax, reparametrise
from mixvae.objectives.schedules import Linear, Schedule, as_schedule
from mixvae.objectives.terms import Terms
from mixvae.processes import gather_over_processes


class JointVAE(AbstractMixture):
    """One agent whose posteriors are q(c|x) and q(s|x), both driven to a number of nats.

    Minimises, in nats, summed over features and averaged over the batch,

        -log p(x|s, c) + state_gamma |E KL(q(s|x) || N(0, I)) - C_s(t)|
                       + category_gamma |E KL(q(c|x) || uniform) - C_c(t)|

    where the capacities C_s and C_c grow linearly from 0 to their largest values.

    Args:
        shape: Shape of one sample.
        agents: Builds the networks, see `AbstractMixture`.
        likelihood: p(x|s, c).
        optimizer: Builds the optimiser from the parameters.
        num_categories: Number of categories K, at least 2.
        state_dim: Number of state dimensions S, at least 0.
        temperature: Of the Gumbel-softmax sample of c, a number or a schedule over epochs.
        state_capacity: Largest C_s, nats, at least 0.
        category_capacity: Largest C_c, nats, in [0, log K]; None is log K.
        state_capacity_epochs: Epochs until C_s is at its largest, at most those of the training.
        category_capacity_epochs: The same of C_c.
        state_gamma: Weight of the states' term, at least 0.
        category_gamma: Weight of the categories' term, at least 0.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a size, a capacity, a weight or the temperature is out of its range.

    Source:
        JointVAE (Dupont 2018), eq. (7). Its public code lets C_c grow beyond log K and cuts it
        there, which is a shorter `category_capacity_epochs` here, and divides the whole loss by
        the number of pixels, which Adam does not notice.
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
        temperature: float | Schedule = 0.67,
        state_capacity: float = 5.0,
        category_capacity: float | None = None,
        state_capacity_epochs: float = 10.0,
        category_capacity_epochs: float = 5.0,
        state_gamma: float = 30.0,
        category_gamma: float = 30.0,
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
        self.temperature = as_schedule(temperature, name="model.temperature", above=0)
        most = math.log(num_categories)
        largest = most if category_capacity is None else category_capacity
        if not largest <= most:
            raise ValueError(
                f"model.category_capacity must be at most log({num_categories}) = {most:.4f} nats,"
                f" all that {num_categories} categories can carry, got {largest:g}; null is that"
            )
        self.state_capacity = _growing("state", state_capacity, state_capacity_epochs)
        self.category_capacity = _growing("category", largest, category_capacity_epochs)
        for name, gamma in {"state": state_gamma, "category": category_gamma}.items():
            as_schedule(gamma, name=f"model.{name}_gamma", at_least=0)
        self.state_gamma, self.category_gamma = state_gamma, category_gamma

    def check_epochs(self, max_epochs: int) -> None:
        """Refuse capacities that would not reach their largest values.

        Raises:
            ValueError: Naming the schedule, its length and that of the training.
        """
        schedules = {"state": self.state_capacity, "category": self.category_capacity}
        for name, schedule in schedules.items():
            if schedule.length > max_epochs:
                raise ValueError(
                    f"model.{name}_capacity_epochs is {schedule.length:g}, longer than the"
                    f" training of trainer.max_epochs = {max_epochs}; shorten the one or raise the"
                    " other"
                )

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        epoch, x = self.epoch, batch.x
        features = self.agents.features(x)
        log_q = self.log_categories(features)
        category = gumbel_softmax(log_q, self.temperature(epoch))
        mean, logvar = self.agents.state(features, category)
        parameters = self.agents.decode(category, reparametrise(mean, logvar))
        terms = Terms()
        terms.add("reconstruction", self.likelihood.nll(parameters, self.target(batch, x)))
        kl = kl_to_standard_normal(mean, logvar)
        self._add_capacities(terms, kl, kl_to_uniform(log_q, self.num_kept), epoch)
        return terms

    def _add_capacities(
        self, terms: Terms, state_kl: Tensor, category_kl: Tensor, epoch: float
    ) -> None:
        """Both capacity terms over the batch of all processes; the divergences are logged only."""
        terms.add("kl", state_kl, 0.0)
        terms.add("category_kl", category_kl, 0.0)
        state_kl = gather_over_processes(state_kl, dim=1)
        category_kl = gather_over_processes(category_kl, dim=1)
        # A pruned category leaves less to carry.
        most = min(self.category_capacity(epoch), math.log(self.num_kept))
        penalty = capacity_penalty(state_kl, self.state_capacity(epoch))
        terms.add("state_capacity", penalty, self.state_gamma, axes="A")
        terms.add(
            "category_capacity", capacity_penalty(category_kl, most), self.category_gamma, axes="A"
        )

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The objective of a measured batch at the largest capacities, a scalar in nats.

        Comparable over epochs, so that the best checkpoint can be chosen without labels.
        """
        terms = Terms()
        probs = step.posterior.probs
        log_q = self.mask_log(probs.clamp_min(1e-38).log())
        reconstruction, kl = evidence_of(step)
        terms.add("reconstruction", reconstruction)
        self._add_capacities(terms, kl, kl_to_uniform(log_q, self.num_kept), math.inf)
        return terms.total()


def _growing(name: str, largest: float, epochs: float) -> Linear:
    """The capacity from 0 to its largest value in so many epochs."""
    as_schedule(largest, name=f"model.{name}_capacity", at_least=0)
    as_schedule(epochs, name=f"model.{name}_capacity_epochs", at_least=0)
    return Linear(0.0, largest, length=epochs)
