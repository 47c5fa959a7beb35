"""JointVAE: one VAE of categories and states, each with a capacity that grows with training."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from mixvae.contracts import Batch
from mixvae.modules.base import plain_number
from mixvae.modules.mixture import AbstractMixture
from mixvae.objectives.divergences import capacity_penalty, kl_to_standard_normal, kl_to_uniform
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
        temperature: Of the Gumbel-softmax sample of c, a number or a schedule over epochs.
        state_capacity: Largest C_s, nats, at least 0.
        category_capacity: Largest C_c, nats, in [0, log K]; None is log K.
        state_capacity_epochs: Epochs until C_s is at its largest, at most those of the training.
        category_capacity_epochs: The same of C_c.

    Source:
        JointVAE (Dupont 2018), eq. (7). Its public code lets C_c grow beyond log K and cuts it
        there, like a shorter `category_capacity_epochs` here, and divides the whole loss by the
        number of pixels, which does not change Adam's steps.
    """

    state_sees_category = False

    def __init__(
        self,
        *,
        temperature: float | Schedule = 0.67,
        state_capacity: float = 5.0,
        category_capacity: float | None = None,
        state_capacity_epochs: float = 10.0,
        category_capacity_epochs: float = 5.0,
        state_gamma: float = 30.0,
        category_gamma: float = 30.0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.temperature = as_schedule(temperature, name="model.temperature", above=0)
        most = math.log(self.num_categories)
        largest = most if category_capacity is None else category_capacity
        if not largest <= most:
            raise ValueError(
                f"model.category_capacity must be at most log({self.num_categories}) = {most:.4f}"
                f" nats, the capacity of {self.num_categories} categories, got {largest:g}; null is"
                " that"
            )
        self.state_capacity = _growing("state", state_capacity, state_capacity_epochs)
        self.category_capacity = _growing("category", largest, category_capacity_epochs)
        self.state_gamma = plain_number("state_gamma", state_gamma, at_least=0)
        self.category_gamma = plain_number("category_gamma", category_gamma, at_least=0)

    def check_epochs(self, max_epochs: int) -> None:
        """Refuse a training that ends before a capacity is at its largest."""
        schedules = {"state": self.state_capacity, "category": self.category_capacity}
        for name, schedule in schedules.items():
            if schedule.length > max_epochs:
                raise ValueError(
                    f"model.{name}_capacity_epochs is {schedule.length:g}, longer than the"
                    f" training of trainer.max_epochs = {max_epochs}; shorten the first or raise"
                    " the second"
                )

    def weights(self, epoch: float) -> dict[str, float]:
        """A gamma for each capacity; the divergences themselves are logged only."""
        return {
            "reconstruction": 1.0,
            "kl": 0.0,
            "category_kl": 0.0,
            "state_capacity": self.state_gamma,
            "category_capacity": self.category_gamma,
        }

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        epoch, x = self.epoch, batch.x
        features = self.agents.features(x)
        log_q = self.log_categories(features)
        category = gumbel_softmax(log_q, self.temperature(epoch))
        mean, logvar = self.agents.state(features, category)
        parameters = self.agents.decode(category, reparametrise(mean, logvar))
        nll = self.likelihood.nll(parameters, self.target(batch, x))
        return self.shared_terms(epoch, nll, kl_to_standard_normal(mean, logvar), log_q)

    def shared_terms(
        self, epoch: float, reconstruction: Tensor, kl: Tensor, log_q: Tensor
    ) -> Terms:
        """All terms; the capacities are of the batch of all processes."""
        terms = super().shared_terms(epoch, reconstruction, kl, log_q)
        category_kl = kl_to_uniform(log_q, self.num_kept)
        terms.add("category_kl", category_kl)
        state_kl = gather_over_processes(kl, dim=1)
        category_kl = gather_over_processes(category_kl, dim=1)
        # A pruned category leaves less to carry.
        most = min(self.category_capacity(epoch), math.log(self.num_kept))
        penalty = capacity_penalty(state_kl, self.state_capacity(epoch))
        terms.add("state_capacity", penalty, axes="A")
        terms.add("category_capacity", capacity_penalty(category_kl, most), axes="A")
        return terms


def _growing(name: str, largest: float, epochs: float) -> Linear:
    """The capacity from 0 to its largest value in so many epochs."""
    plain_number(f"{name}_capacity", largest, at_least=0)
    plain_number(f"{name}_capacity_epochs", epochs, at_least=0)
    return Linear(0.0, largest, length=epochs)
