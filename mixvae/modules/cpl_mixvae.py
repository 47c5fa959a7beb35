"""cpl-mixVAE: coupled mixture VAEs whose agents agree on categories while each learns states."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from mixvae.contracts import Adversary, Augmenter, Balance, Batch, MixtureStep
from mixvae.modules.base import OptimizerFactory
from mixvae.modules.mixture import AbstractMixture, AgentsFactory, Tau, evidence_of
from mixvae.networks.batched import frozen_statistics
from mixvae.objectives.assignment import joint_counts
from mixvae.objectives.coupling import COUPLING_KINDS, CouplingKind, deviation_floor
from mixvae.objectives.coupling import coupling as coupling_distance
from mixvae.objectives.divergences import (
    categorical_entropy,
    categorical_kl,
    kl_to_standard_normal,
)
from mixvae.objectives.information import information
from mixvae.objectives.likelihoods import Likelihood
from mixvae.objectives.relaxation import gumbel_softmax, reparametrise
from mixvae.objectives.schedules import Constant, Schedule, as_schedule
from mixvae.objectives.terms import Terms
from mixvae.processes import gather_over_processes


class CplMixVAE(AbstractMixture):
    """Coupled mixture VAEs: N agents, one tensor axis, one objective.

    Minimises, in nats, summed over features and averaged over the batch,

        max(A-1, 1) sum_a [ -log p(x_a|s_a,c_a) + beta KL(q(s_a|x_a,c_a) || N(0, I))
                            - entropy_weight H(q(c_a|x_a))
                            + consistency_weight KL(q(c_a|x) || q(c_a|x_a))
                            + adversarial_weight KL(q(c_a|x) || q(c_a|x + r_a))
                            - information_weight (marginal_weight H(E q(c_a|x)) - E H(q(c_a|x))) ]
        + sum_{a<b} coupling_weight d^2(c_a, c_b)

    The first line, the entropy and the coupling are the paper's. Consistency, adversarial and
    information terms and the alignment of the agents' labels are ours; a weight of 0 (the default)
    switches a part off and costs nothing. r_a is the step of `adversary`.

    Args:
        shape: Shape of one sample.
        agents: Builds the networks, see `AbstractMixture`.
        augmenter: Makes each agent's copy x_a of the sample x.
        likelihood: p(x|s, c); it explains of a copy that leaves its range the nearest in it.
        optimizer: Builds the optimiser from the parameters.
        num_agents: Number of agents A, at least 1; one agent is a mixture VAE.
        num_categories: Number of categories K, at least 2.
        state_dim: Number of state dimensions S, at least 0.
        tau: q(c|x) = softmax(logits / tau); `auto` is 1, which is neutral since the network scales
            its logits, or 1/K with `double_softmax`, which caps them.
        double_softmax: Reproduces MMIDAS, q(c|x) = softmax(softmax(logits) / tau).
        temperature: Of the Gumbel-softmax sample of c, a number or a schedule over epochs.
        straight_through: Decode the one-hot sample, with the gradient of the relaxed one.
        beta: Weight of the states' KL divergence, a number or a schedule over epochs.
        coupling: Distance between the agents' categories, see `objectives.coupling`.
        coupling_weight: Its weight lambda, a number or a schedule over epochs.
        entropy_weight: Weight of the entropy of q(c|x); the paper's objective has 1.
        consistency_weight: Weight of the divergence between q(c|x) and q(c|x_a).
        adversarial_weight: Weight of the divergence between q(c|x) and q(c|x + r_a).
        adversary: Makes x + r_a; needed where adversarial_weight is above 0.
        information_weight: Weight of the information term, a number or a schedule over epochs.
        marginal_weight: How much the entropy of the mean of q(c|x) counts in it.
        align_epochs: Epochs at whose start the agents' labels are matched; none by default.
        copy_strength: Factor on how far the copies of `augmenter` and `adversary` are from the
            sample, a number or a schedule over epochs.
        learning_rate: Factor on the learning rate, a number or a schedule over epochs.

    Raises:
        ValueError: If a size, a weight, tau or the temperature is out of its range.

    Source:
        cpl-mixVAE (Marghi et al., arXiv:2007.09880); for A = 1 the paper's sum over pairs is
        empty, and so would be its entropy, which stays here as the ELBO's with a uniform prior
        on c. Adversarial and information terms follow Hu et al. 2017 (IMSAT).
    """

    joint_counts: Tensor

    def __init__(
        self,
        *,
        shape: Sequence[int],
        agents: AgentsFactory,
        augmenter: Augmenter,
        likelihood: Likelihood,
        optimizer: OptimizerFactory,
        num_agents: int = 2,
        num_categories: int = 10,
        state_dim: int = 10,
        tau: Tau = "auto",
        double_softmax: bool = False,
        temperature: float | Schedule = 0.67,
        straight_through: bool = False,
        beta: float | Schedule = 1.0,
        coupling: CouplingKind = "perturbed",
        coupling_weight: float | Schedule = 1.0,
        entropy_weight: float | Schedule = 1.0,
        consistency_weight: float | Schedule = 0.0,
        adversarial_weight: float | Schedule = 0.0,
        adversary: Adversary | None = None,
        information_weight: float | Schedule = 0.0,
        marginal_weight: float = 4.0,
        align_epochs: Sequence[int] = (),
        copy_strength: float | Schedule = 1.0,
        learning_rate: float | Schedule = 1.0,
    ) -> None:
        super().__init__(
            shape=shape,
            agents=agents,
            likelihood=likelihood,
            optimizer=optimizer,
            num_agents=num_agents,
            num_categories=num_categories,
            state_dim=state_dim,
            tau=tau,
            double_softmax=double_softmax,
            learning_rate=learning_rate,
        )
        # What each agent's own terms count in the sum over pairs.
        self.scale = max(num_agents - 1, 1)
        self.temperature = as_schedule(temperature, name="model.temperature", above=0)
        self.straight_through = straight_through
        self.beta = _weight("beta", beta)
        if coupling not in COUPLING_KINDS:
            raise ValueError(f"model.coupling must be one of {COUPLING_KINDS}, got {coupling!r}")
        self.coupling = coupling
        self.coupling_weight = _weight("coupling_weight", coupling_weight)
        self.entropy_weight = _weight("entropy_weight", entropy_weight)
        self.consistency_weight = _weight("consistency_weight", consistency_weight)
        self.adversarial_weight = _weight("adversarial_weight", adversarial_weight)
        self.information_weight = _weight("information_weight", information_weight)
        marginal = as_schedule(marginal_weight, name="model.marginal_weight", at_least=0)
        if not isinstance(marginal, Constant):
            raise ValueError("model.marginal_weight must be a number; it has no schedule")
        self.marginal_weight = marginal(0)
        if min(align_epochs, default=0) < 0:
            raise ValueError(f"model.align_epochs must all be at least 0, got {min(align_epochs)}")
        self.align_epochs = frozenset(align_epochs)
        self.augmenter = augmenter
        self.adversary = adversary
        self.copy_strength = _weight("copy_strength", copy_strength)
        ends = self.adversarial_weight(0.0), self.adversarial_weight(float("inf"))
        if adversary is None and max(ends) > 0:
            raise ValueError("model.adversarial_weight is above 0, so model.adversary is needed")
        # How often agents a and b put a sample of this epoch into categories i and j.
        counts = torch.zeros([num_agents] * 2 + [num_categories] * 2, dtype=torch.int64)
        self.register_buffer("joint_counts", counts)
        # Each process counts its own samples; by default the first one's buffers go to all.
        self._ddp_params_and_buffers_to_ignore = ["joint_counts"]

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class; what has weight 0 is left out."""
        epoch, x = self.epoch, batch.x
        ours = (self.consistency_weight, self.adversarial_weight, self.information_weight)
        uses_sample = any(weight(epoch) > 0 for weight in ours)
        with frozen_statistics(self.agents):
            copies = self.augmenter(x, self.num_agents, self.log_q, self.copy_strength(epoch))
        # Running statistics follow the samples themselves where those are seen at all.
        with frozen_statistics(self.agents) if uses_sample else nullcontext():
            features = self.agents.features(copies)
        log_q_copies = self.log_categories(features)
        terms = Terms()
        # Agents see copies as they are; what a decoder is to explain must be possible.
        target = self.target(batch, self.likelihood.nearest(copies))
        self._add_evidence(terms, target, features, log_q_copies, epoch)
        batch_log_q = gather_over_processes(log_q_copies, dim=1)
        self._add_agreement(terms, log_q_copies, batch_log_q, epoch)
        log_q = log_q_copies
        if uses_sample:
            log_q = self.log_q(x)
            self._add_discrimination(terms, x, log_q, log_q_copies, epoch)
        if self.align_epochs:
            self.joint_counts += joint_counts(log_q.detach().argmax(-1), self.num_categories)
        return terms

    def _add_evidence(
        self, terms: Terms, x: Tensor, features: Tensor, log_q: Tensor, epoch: float
    ) -> None:
        """The evidence lower bound of each agent for x, estimated with one sample."""
        category = gumbel_softmax(log_q, self.temperature(epoch), hard=self.straight_through)
        mean, logvar = self.agents.state(features, category)
        nll = self.agents.nll(category, reparametrise(mean, logvar), x, self.likelihood)
        terms.add("reconstruction", nll, self.scale)
        terms.add("kl", kl_to_standard_normal(mean, logvar), self.scale * self.beta(epoch))

    def _add_agreement(
        self, terms: Terms, log_q: Tensor, batch_log_q: Tensor, epoch: float
    ) -> None:
        """The paper's entropy, and its coupling over the batch of all processes."""
        terms.add("entropy", categorical_entropy(log_q), -self.scale * self.entropy_weight(epoch))
        mask = None if self.num_kept == self.num_categories else self.category_mask
        floor = deviation_floor(self.num_kept)
        distance = coupling_distance(batch_log_q, self.coupling, floor=floor, mask=mask)
        terms.add("coupling", distance, self.coupling_weight(epoch), axes="B")

    def _add_discrimination(
        self, terms: Terms, x: Tensor, log_q: Tensor, log_q_copies: Tensor, epoch: float
    ) -> None:
        """Our terms: a category that is stable near the sample and says much about it."""
        target = log_q.detach()
        weight = self.consistency_weight(epoch)
        if weight > 0:
            terms.add("consistency", categorical_kl(log_q, log_q_copies), self.scale * weight)
        weight = self.adversarial_weight(epoch)
        if weight > 0:
            assert self.adversary is not None
            with frozen_statistics(self.agents):
                near = self.adversary(
                    x, self.num_agents, self.log_q, self.copy_strength(epoch), log_q_x=target
                )
                log_q_near = self.log_q(near)
            terms.add("adversarial", categorical_kl(target, log_q_near), self.scale * weight)
        weight = self.information_weight(epoch)
        if weight > 0:
            gain = information(gather_over_processes(log_q, dim=1), self.marginal_weight)
            terms.add("information", gain, -self.scale * weight, axes="A")

    def on_train_epoch_start(self) -> None:
        """Match the agents' labels where the schedule says so, by last epoch's assignments."""
        super().on_train_epoch_start()
        if not self.align_epochs:
            return
        if self.current_epoch in self.align_epochs and self.joint_counts.any():
            self.align(self.joint_counts)
        self.joint_counts.zero_()

    def on_train_epoch_end(self) -> None:
        """Add up what the processes counted, so that each of them and the checkpoint have all."""
        super().on_train_epoch_end()
        if self.align_epochs:
            self.joint_counts = self.trainer.strategy.reduce(self.joint_counts, reduce_op="sum")

    def align(self, joint: Tensor) -> bool:
        """Rename as `AbstractMixture.align`; counts under the old names are dropped."""
        changed = super().align(joint)
        if changed:
            self.joint_counts.zero_()
        return changed

    def merge(self, order: Tensor, name: Tensor) -> None:
        """Merge as `AbstractMixture.merge`; counts under the old names are dropped."""
        super().merge(order, name)
        self.joint_counts.zero_()

    def balance(self) -> Balance:
        """What pulls on q(c|x) at present, beside one agent's reconstruction."""
        epoch = self.epoch
        weights = {
            "kl": self.beta(epoch),
            "entropy": -self.entropy_weight(epoch),
            "coupling": self.coupling_weight(epoch) / (self.num_agents * self.scale),
            "consistency": self.consistency_weight(epoch),
            "adversarial": self.adversarial_weight(epoch),
            "information": -self.information_weight(epoch),
        }
        return Balance(self.tau, self.largest_probability, weights)

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The objective of a measured batch at the schedules' last values, a scalar in nats.

        Comparable over epochs, so that the best checkpoint can be chosen without labels. Without
        copies there is no consistency or adversarial term.
        """
        end = float("inf")
        terms = Terms()
        probs = gather_over_processes(step.posterior.probs, dim=1)
        log_q = self.mask_log(probs.clamp_min(torch.finfo(probs.dtype).tiny).log())
        reconstruction, kl = evidence_of(step)
        reconstruction = gather_over_processes(reconstruction, dim=1)
        terms.add("reconstruction", reconstruction, self.scale)
        kl = gather_over_processes(kl, dim=1)
        terms.add("kl", kl, self.scale * self.beta(end))
        self._add_agreement(terms, log_q, log_q, end)
        gain = information(log_q, self.marginal_weight)
        terms.add("information", gain, -self.scale * self.information_weight(end), axes="A")
        return terms.total()


def _weight(name: str, value: float | Schedule) -> Schedule:
    return as_schedule(value, name=f"model.{name}", at_least=0)
