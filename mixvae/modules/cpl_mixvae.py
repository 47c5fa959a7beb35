"""cpl-mixVAE: coupled mixture VAEs whose agents agree on categories while each learns states."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from mixvae.contracts import Adversary, Augmenter, Balance, Batch, Covariate, MixtureStep
from mixvae.messages import inform
from mixvae.modules.base import check_adversary, plain_number, spread_samples, weight_schedule
from mixvae.modules.matched_agents import AbstractMatched
from mixvae.modules.mixture import Tau
from mixvae.networks.batched import frozen_statistics
from mixvae.objectives.coupling import COUPLING_KINDS, CouplingKind
from mixvae.objectives.coupling import coupling as coupling_distance
from mixvae.objectives.divergences import (
    categorical_entropy,
    categorical_kl,
    kl_to_standard_normal,
)
from mixvae.objectives.information import information
from mixvae.objectives.likelihoods import half_null_deviance
from mixvae.objectives.relaxation import gumbel_softmax, reparametrise
from mixvae.objectives.schedules import Schedule, as_schedule
from mixvae.objectives.terms import Terms
from mixvae.processes import gather_over_processes

WeightUnit = float | Literal["auto"]
"""Nats; `auto` is half the null deviance of a training sample."""


class CplMixVAE(AbstractMatched):
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
    switches a part off and costs nothing. r_a is the step of `adversary`. Each weight is a number
    or a schedule over epochs.

    Args:
        augmenter: Makes each agent's copy x_a of the sample x. If a copy leaves the range of the
            likelihood, the decoder explains the nearest value in it.
        num_agents: Number of agents A, at least 1; one agent is a mixture VAE.
        tau: q(c|x) = softmax(logits / tau); `auto` is 1, which is neutral since the network scales
            its logits, or 1/K with `double_softmax`, which caps them.
        double_softmax: Reproduces MMIDAS, q(c|x) = softmax(softmax(logits) / tau).
        temperature: Of the Gumbel-softmax sample of c, a number or a schedule over epochs.
        straight_through: Decode the one-hot sample, with the gradient of the relaxed one.
        coupling: Distance between the agents' categories, see `objectives.coupling`.
        entropy_weight: Weight of the entropy of q(c|x); the paper's objective has 1.
        adversary: Makes x + r_a; needed if adversarial_weight is above 0.
        marginal_weight: Weight of the entropy of the mean of q(c|x) in it, a number.
        weight_unit: Nats in which the weights of coupling, consistency, adversarial and information
            terms count. `auto` is what a training sample says beyond the mean sample, half the null
            deviance, so that these terms keep their proportion to reconstructions of any size.
        align_epochs: Epochs at whose start the agents' labels are matched.
        best_agents: Before the first matching, all agents go on from so many best ones, in turn;
            None, or as many as there are, keeps all. The best have the highest information term
            over the last epoch, which tells poor clusterings without labels: they are less
            confident and less even. Agents that go on from one agree by construction, so the
            consensus says less.
        copy_strength: Factor on the distance of the copies of `augmenter` and `adversary` from the
            sample, a number or a schedule over epochs.
        covariates: Of the data, such as batches; see `Agents`.
        **shared: See `AbstractMixture`.

    Source:
        cpl-mixVAE (Marghi et al., arXiv:2007.09880); for A = 1 the paper's sum over pairs is
        empty, and so would be its entropy, which stays here as the ELBO's with a uniform prior
        on c. Adversarial and information terms follow Hu et al. 2017 (IMSAT).
    """

    # Terms that all agents have together; each of the others is a sum over agents.
    joint_terms = frozenset({"coupling"})
    chosen_unit: Tensor
    weight_unit: float

    def __init__(
        self,
        *,
        augmenter: Augmenter,
        num_agents: int = 2,
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
        weight_unit: WeightUnit = 1.0,
        align_epochs: Sequence[int] = (),
        best_agents: int | None = None,
        copy_strength: float | Schedule = 1.0,
        covariates: Sequence[Covariate] = (),
        **shared: Any,
    ) -> None:
        super().__init__(num_agents, covariates, **shared)
        self.set_tau(tau, double_softmax)
        self.temperature = as_schedule(temperature, name="model.temperature", above=0)
        self.straight_through = straight_through
        self.beta = weight_schedule("beta", beta)
        if coupling not in COUPLING_KINDS:
            raise ValueError(f"model.coupling must be one of {COUPLING_KINDS}, got {coupling!r}")
        self.coupling = coupling
        self.coupling_weight = weight_schedule("coupling_weight", coupling_weight)
        self.entropy_weight = weight_schedule("entropy_weight", entropy_weight)
        self.consistency_weight = weight_schedule("consistency_weight", consistency_weight)
        self.adversarial_weight = weight_schedule("adversarial_weight", adversarial_weight)
        self.information_weight = weight_schedule("information_weight", information_weight)
        self.marginal_weight = plain_number("marginal_weight", marginal_weight, at_least=0)
        self._set_weight_unit(weight_unit)
        self.augmenter = augmenter
        self.adversary = adversary
        self.copy_strength = weight_schedule("copy_strength", copy_strength)
        check_adversary(adversary, self.adversarial_weight)
        # What each agent's own terms count in the sum over pairs.
        self.scale = max(num_agents - 1, 1)
        self._set_matching(align_epochs, best_agents)

    def _set_weight_unit(self, unit: WeightUnit) -> None:
        """Take the unit, or prepare to choose it.

        What was chosen is part of the state: a resumed or opened run does not choose again. A whole
        number keeps it exact in every precision.
        """
        if unit != "auto":
            self.weight_unit = plain_number("weight_unit", unit, above=0)
            return
        self.register_buffer("chosen_unit", torch.tensor(1000))
        _take_unit(self)
        self.register_load_state_dict_post_hook(_take_unit)  # type: ignore[no-untyped-call]

    def choose(self, train: Collection[Batch], val: Collection[Batch], steps: int) -> None:
        """Choose the unit of weights if it is `auto`."""
        super().choose(train, val, steps)
        if "chosen_unit" not in self._buffers:
            return
        deviance = half_null_deviance(self.likelihood, spread_samples(train))
        self.chosen_unit.fill_(max(round(1000 * deviance), 1))
        _take_unit(self)
        reason = f"nats that a training sample says beyond the mean sample: {self.weight_unit:.4g}"
        self.choices["model.weight_unit"] = {"weight_unit": self.weight_unit, "reason": reason}
        inform(f"model.weight_unit: auto is the {reason}")

    @property
    def aligns_batches(self) -> bool:
        """Whether the encoders see the batches of the data laid over each other."""
        return self.agents.aligns

    @torch.no_grad()
    def alignment(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """What encoders see of a batch before and after batches are aligned, each (B, C)."""
        if not self.aligns_batches or batch.covariates is None:
            return None
        with self.agents.given(batch.covariates):
            return self.agents.alignment(batch.x)

    def weights(self, epoch: float) -> dict[str, float]:
        """Factors in the loss, where each agent's own terms count `scale` times."""
        own = {
            "reconstruction": 1.0,
            "kl": self.beta(epoch),
            "entropy": -self.entropy_weight(epoch),
            "consistency": self.weight_unit * self.consistency_weight(epoch),
            "adversarial": self.weight_unit * self.adversarial_weight(epoch),
            "information": -self.weight_unit * self.information_weight(epoch),
        }
        scaled = {name: self.scale * weight for name, weight in own.items()}
        return {**scaled, "coupling": self.weight_unit * self.coupling_weight(epoch)}

    def losses(self, objective: Tensor, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The negative evidence bound of one agent as `loss`, and its share of the objective.

        The bound has a uniform prior over the kept categories and no weights, so it falls while
        weights change and while the agents still name their categories differently.
        """
        bound = terms["reconstruction"] + terms["kl"] + math.log(self.num_kept) - terms["entropy"]
        return {"loss": bound, "objective": objective / (self.num_agents * self.scale)}

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class; parts of weight 0 are left out."""
        with self.agents.given(batch.covariates):
            return self._terms(batch)

    def _terms(self, batch: Batch) -> Terms:
        epoch, x = self.epoch, batch.x
        weights, strength = self.weights(epoch), self.copy_strength(epoch)
        ours = ("consistency", "adversarial", "information")
        uses_sample = any(weights[name] != 0 for name in ours)
        with frozen_statistics(self.agents):
            copies = self.augmenter(x, self.num_agents, self.log_q, strength)
        # Running statistics follow the samples themselves if the agents see them at all.
        with frozen_statistics(self.agents) if uses_sample else nullcontext():
            features = self.agents.features(copies)
        log_q_copies = self.log_categories(features)
        # Agents see copies as they are; the decoder explains the nearest possible values.
        target = self.target(batch, self.likelihood.nearest(copies))
        category = gumbel_softmax(log_q_copies, self.temperature(epoch), hard=self.straight_through)
        mean, logvar = self.agents.state(features, category)
        nll = self.agents.nll(category, reparametrise(mean, logvar), target, self.likelihood)
        terms = self.shared_terms(epoch, nll, kl_to_standard_normal(mean, logvar), log_q_copies)
        log_q = log_q_copies
        if uses_sample:
            log_q = self.log_q(x)
            self._add_discrimination(terms, x, log_q, log_q_copies, strength)
        self._count(log_q, terms)
        return terms

    def shared_terms(
        self, epoch: float, reconstruction: Tensor, kl: Tensor, log_q: Tensor
    ) -> Terms:
        """The paper's terms; the coupling is over the batch of all processes."""
        terms = super().shared_terms(epoch, reconstruction, kl, log_q)
        terms.add("entropy", categorical_entropy(log_q))
        mask = None if self.num_kept == self.num_categories else self.category_mask
        batch_log_q = gather_over_processes(log_q, dim=1)
        distance = coupling_distance(batch_log_q, self.coupling, mask=mask)
        terms.add("coupling", distance, axes="B")
        return terms

    def settled_terms(self, step: MixtureStep) -> Terms:
        """The terms of a measured batch, which has no copies and so none of their divergences."""
        terms = super().settled_terms(step)
        self._add_information(terms, self.log_measured(step))
        return terms

    def _add_discrimination(
        self, terms: Terms, x: Tensor, log_q: Tensor, log_q_copies: Tensor, strength: float
    ) -> None:
        """Our terms: a category that is stable near the sample and says much about it."""
        target = log_q.detach()
        if terms.weights["consistency"] != 0:
            terms.add("consistency", categorical_kl(log_q, log_q_copies))
        if terms.weights["adversarial"] != 0:
            assert self.adversary is not None
            with frozen_statistics(self.agents):
                # In components whose unit is the noise steps are cheaper than in features, and
                # noise beside the components does not lengthen them.
                seen = self.agents.seen(x)
                near = self.adversary(
                    seen, self.num_agents, self.log_q_of_seen, strength, log_q_x=target
                )
                log_q_near = self.log_q_of_seen(near)
            terms.add("adversarial", categorical_kl(target, log_q_near))
        if terms.weights["information"] != 0:
            self._add_information(terms, log_q)

    def _add_information(self, terms: Terms, log_q: Tensor) -> None:
        """The information term over the batch of all processes."""
        gain = information(gather_over_processes(log_q, dim=1), self.marginal_weight)
        terms.add("information", gain, axes="A")

    def balance(self) -> Balance:
        """The present weights beside one agent's reconstruction; joint terms are shared out."""
        weights = self.weights(self.epoch)
        unit = weights.pop("reconstruction")
        for name in weights:
            weights[name] /= unit * (self.num_agents if name in self.joint_terms else 1)
        return Balance(self.tau, self.largest_probability, weights)


def _take_unit(module: Any, _: object = None) -> None:
    module.weight_unit = int(module.chosen_unit) / 1000
