"""IMSAT: one network that names categories by information and invariance, without a decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixvae.contracts import Adversary, Augmenter, Batch, MixtureStep
from mixvae.modules.base import OptimizerFactory
from mixvae.modules.mixture import AbstractMixture, AgentsFactory, Tau
from mixvae.networks.agents import Categorisers
from mixvae.networks.batched import frozen_statistics
from mixvae.objectives.divergences import categorical_kl
from mixvae.objectives.information import information
from mixvae.objectives.likelihoods import SquaredError
from mixvae.objectives.schedules import Schedule, as_schedule
from mixvae.objectives.terms import Terms
from mixvae.processes import gather_over_processes


class IMSAT(AbstractMixture):
    """Categories that tell much about the sample and stay the same near it; nothing is decoded.

    Minimises, in nats, averaged over the batch,

        adversarial_weight KL(q(c|x) || q(c|x + r)) + consistency_weight KL(q(c|x) || q(c|x'))
        - information_weight (marginal_weight H(E q(c|x)) - E H(q(c|x)))

    where r is the step of `adversary` and x' the augmenter's copy. The first of each pair is taken
    as given. It has one agent, no state and no reconstruction: what clustering alone can reach.

    Args:
        shape: Shape of one sample.
        agents: Builds the networks, see `AbstractMixture`; of them only the encoder and the
            categorical head are kept.
        augmenter: Makes the copy x' of the sample x.
        optimizer: Builds the optimiser from the parameters.
        num_categories: Number of categories K, at least 2.
        tau: q(c|x) = softmax(logits / tau); `auto` is 1.
        consistency_weight: Weight of the divergence between sample and copy, a number or a
            schedule over epochs; 0 makes no copies.
        adversarial_weight: Weight of the divergence under the adversary's step, likewise.
        adversary: Makes x + r; needed where adversarial_weight is above 0.
        information_weight: Weight of the information term, likewise.
        marginal_weight: How much the entropy of the mean of q(c|x) counts in it.
        copy_strength: Factor on how far the copies of `augmenter` and `adversary` are from the
            sample, a number or a schedule over epochs.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a size, a weight or tau is out of its range.

    Source:
        Hu et al. 2017, section 3, with the weights of the public code by default. The radius is
        taken in the batch, see `Adversarial`. The paper has affine copies beside the adversary's
        on one of its data sets only.
    """

    can_decode = False
    agents: Categorisers  # type: ignore[assignment]  # all that is used of what Agents has

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
            likelihood=SquaredError(),  # of which only the check for finite values is used
            optimizer=optimizer,
            num_agents=1,
            num_categories=num_categories,
            state_dim=0,
            tau=tau,
            learning_rate=learning_rate,
        )
        self.agents = Categorisers(self.agents)  # type: ignore[arg-type]
        self.consistency_weight = _weight("consistency_weight", consistency_weight)
        self.adversarial_weight = _weight("adversarial_weight", adversarial_weight)
        self.information_weight = _weight("information_weight", information_weight)
        self.copy_strength = _weight("copy_strength", copy_strength)
        self.marginal_weight = _weight("marginal_weight", marginal_weight)(0)
        self.augmenter = augmenter
        self.adversary = adversary
        ends = self.adversarial_weight(0.0), self.adversarial_weight(float("inf"))
        if adversary is None and max(ends) > 0:
            raise ValueError("model.adversarial_weight is above 0, so model.adversary is needed")

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class; what has weight 0 is left out."""
        epoch, x = self.epoch, batch.x
        strength = self.copy_strength(epoch)
        log_q = self.log_q(x)
        target = log_q.detach()
        terms = Terms()
        gain = information(gather_over_processes(log_q, dim=1), self.marginal_weight)
        terms.add("information", gain, -self.information_weight(epoch), axes="A")
        # Running statistics follow the samples themselves.
        with frozen_statistics(self.agents):
            weight = self.consistency_weight(epoch)
            if weight > 0:
                copies = self.augmenter(x, 1, self.log_q, strength)
                terms.add("consistency", categorical_kl(target, self.log_q(copies)), weight)
            weight = self.adversarial_weight(epoch)
            if weight > 0:
                assert self.adversary is not None
                near = self.adversary(x, 1, self.log_q, strength, log_q_x=target)
                terms.add("adversarial", categorical_kl(target, self.log_q(near)), weight)
        return terms

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        """Refuse: there is nothing to decode with.

        Raises:
            ValueError: Always.
        """
        raise ValueError("IMSAT has no decoder: it names categories and reconstructs nothing")

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> MixtureStep:
        """Infer the categories of a batch."""
        return MixtureStep(posterior=self.infer(batch.x), reconstruction=None, kl=None)

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The information term of a measured batch at its last weight, a scalar in nats."""
        probs = gather_over_processes(step.posterior.probs, dim=1)
        log_q = self.mask_log(probs.clamp_min(torch.finfo(probs.dtype).tiny).log())
        gain = information(log_q, self.marginal_weight).sum()
        return -self.information_weight(float("inf")) * gain


def _weight(name: str, value: float | Schedule) -> Schedule:
    return as_schedule(value, name=f"model.{name}", at_least=0)
