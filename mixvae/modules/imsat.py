"""IMSAT: one network that finds categories by information and invariance, without a decoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mixvae.contracts import Adversary, Augmenter, Batch, MixtureStep
from mixvae.modules.base import (
    SETTLED,
    OptimizerFactory,
    check_adversary,
    plain_number,
    weight_schedule,
)
from mixvae.modules.mixture import AbstractMixture, AgentsFactory, Tau
from mixvae.networks.agents import Categorisers
from mixvae.networks.batched import frozen_statistics
from mixvae.objectives.divergences import categorical_kl
from mixvae.objectives.information import information
from mixvae.objectives.likelihoods import SquaredError
from mixvae.objectives.schedules import Schedule
from mixvae.objectives.terms import Terms
from mixvae.processes import gather_over_processes


class IMSAT(AbstractMixture):
    """Categories that say much about the sample and stay the same near it; nothing is decoded.

    Minimises, in nats, averaged over the batch,

        adversarial_weight KL(q(c|x) || q(c|x + r)) + consistency_weight KL(q(c|x) || q(c|x'))
        - information_weight (marginal_weight H(E q(c|x)) - E H(q(c|x)))

    where r is the step of `adversary` and x' the augmenter's copy. The first of each pair has no
    gradient. The model has one agent, no state and no reconstruction: it shows how far clustering
    alone gets. Each weight is a number or a schedule over epochs; 0 switches a divergence off.

    Args:
        agents: Builds the networks; only the encoder and the categorical head are kept.
        augmenter: Makes the copy x' of the sample x.
        tau: q(c|x) = softmax(logits / tau); `auto` is 1.
        adversary: Makes x + r; needed if adversarial_weight is above 0.
        marginal_weight: Weight of the entropy of the mean of q(c|x) in it, a number.
        copy_strength: Factor on the distance of the copies of `augmenter` and `adversary` from the
            sample, a number or a schedule over epochs.
        shape, num_categories, optimizer, learning_rate: See `AbstractMixture`.

    Source:
        Hu et al. 2017, section 3, with the weights of the public code by default. The radius is
        taken in the batch, see `Adversarial`. The paper has affine copies beside the adversary's
        on one of its data sets only.
    """

    can_decode = False
    agents: Categorisers  # type: ignore[assignment]

    def __init__(
        self,
        *,
        shape: Sequence[int],
        agents: AgentsFactory,
        augmenter: Augmenter,
        optimizer: OptimizerFactory,
        num_categories: int = 10,
        tau: Tau = "auto",
        consistency_weight: float | Schedule = 1.0,
        adversarial_weight: float | Schedule = 1.0,
        adversary: Adversary | None = None,
        information_weight: float | Schedule = 0.1,
        marginal_weight: float = 4.0,
        copy_strength: float | Schedule = 1.0,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
        super().__init__(
            shape=shape,
            agents=agents,
            likelihood=SquaredError(),  # only checks that values are finite
            optimizer=optimizer,
            num_categories=num_categories,
            state_dim=0,
            learning_rate=learning_rate,
        )
        self.agents = Categorisers(self.agents)  # type: ignore[arg-type]
        self.set_tau(tau)
        self.consistency_weight = weight_schedule("consistency_weight", consistency_weight)
        self.adversarial_weight = weight_schedule("adversarial_weight", adversarial_weight)
        self.information_weight = weight_schedule("information_weight", information_weight)
        self.copy_strength = weight_schedule("copy_strength", copy_strength)
        self.marginal_weight = plain_number("marginal_weight", marginal_weight, at_least=0)
        self.augmenter = augmenter
        self.adversary = adversary
        check_adversary(adversary, self.adversarial_weight)

    def weights(self, epoch: float) -> dict[str, float]:
        """The weights of the three terms."""
        return {
            "information": -self.information_weight(epoch),
            "consistency": self.consistency_weight(epoch),
            "adversarial": self.adversarial_weight(epoch),
        }

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class; divergences of weight 0 are left out."""
        epoch, x = self.epoch, batch.x
        strength = self.copy_strength(epoch)
        log_q = self.log_q(x)
        target = log_q.detach()
        terms = self._information(epoch, log_q)
        # Running statistics follow the samples themselves.
        with frozen_statistics(self.agents):
            if terms.weights["consistency"] != 0:
                copies = self.augmenter(x, 1, self.log_q, strength)
                terms.add("consistency", categorical_kl(target, self.log_q(copies)))
            if terms.weights["adversarial"] != 0:
                assert self.adversary is not None
                near = self.adversary(x, 1, self.log_q, strength, log_q_x=target)
                terms.add("adversarial", categorical_kl(target, self.log_q(near)))
        return terms

    def _information(self, epoch: float, log_q: Tensor) -> Terms:
        terms = Terms(self.weights(epoch))
        gain = information(gather_over_processes(log_q, dim=1), self.marginal_weight)
        terms.add("information", gain, axes="A")
        return terms

    def settled_terms(self, step: MixtureStep) -> Terms:
        """The information term of a measured batch."""
        return self._information(SETTLED, self.log_measured(step))

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        """Raise ValueError: IMSAT has no decoder."""
        raise ValueError("IMSAT has no decoder: it infers categories and reconstructs nothing")

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> MixtureStep:
        """Infer the categories of a batch."""
        return MixtureStep(posterior=self.infer(batch.x), reconstruction=None, kl=None)
