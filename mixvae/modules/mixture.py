"""What models with categories and states share: inference, decoding, measuring, pruning."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from mixvae.contracts import Batch, Covariate, MixtureModel, MixturePosterior, MixtureStep
from mixvae.modules.base import SETTLED, AbstractModule, Moment, plain_number
from mixvae.networks.agents import Agents, join_categories
from mixvae.networks.axes import permute_categories
from mixvae.networks.batched import evaluating
from mixvae.objectives.assignment import align_agents
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.likelihoods import Likelihood, decoded_shape
from mixvae.objectives.relaxation import most_probable
from mixvae.objectives.terms import Terms

CHUNK = 1000
"""Samples that `AbstractMixture.state_means` encodes at once."""
AgentsFactory = Callable[..., Agents]
Tau = float | Literal["auto"]


# A MixtureModel by name: from Python 3.12 on isinstance does not find `category_mask`, a buffer.
class AbstractMixture(AbstractModule[Batch], MixtureModel, ABC):
    """A model of categories and states, see `contracts.MixtureModel`; a subclass adds the terms.

    A masked category has probability exactly 0 everywhere: samples, terms and gradients are those
    of a model that never had it.

    Args:
        num_agents: Number of agents A, at least 1. Positional: most subclasses have one agent.
        covariates: See `Agents`; positional, as most subclasses know none.
        agents: Builds the networks from shape, num_agents, num_categories, state_dim,
            decoded_shape and state_sees_category.
    """

    can_decode = True
    # Whether the state's posterior is q(s|x, c) and not q(s|x).
    state_sees_category = True
    tau = 1.0
    double_softmax = False
    category_mask: Tensor
    merged_into: Tensor

    def __init__(
        self,
        num_agents: int = 1,
        covariates: Sequence[Covariate] = (),
        /,
        *,
        shape: Sequence[int],
        agents: AgentsFactory,
        likelihood: Likelihood,
        num_categories: int = 10,
        state_dim: int = 10,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        plain_number("num_agents", num_agents, at_least=1)
        plain_number("num_categories", num_categories, at_least=2)
        plain_number("state_dim", state_dim, at_least=0)
        self.num_agents, self.num_categories, self.state_dim = num_agents, num_categories, state_dim
        self.likelihood = likelihood
        self.agents = agents(
            shape=shape,
            num_agents=num_agents,
            num_categories=num_categories,
            state_dim=state_dim,
            decoded_shape=decoded_shape(shape, likelihood),
            state_sees_category=self.state_sees_category,
            **({"covariates": covariates} if covariates else {}),
        )
        self.register_buffer("category_mask", torch.ones(num_categories, dtype=torch.bool))
        # Merged categories have the same name.
        self.register_buffer("merged_into", torch.arange(num_categories).repeat(num_agents, 1))
        self.merged = False
        # A plain number: reading the buffer makes a GPU wait.
        self.num_kept = num_categories
        self.register_load_state_dict_post_hook(_count_kept)  # type: ignore[no-untyped-call]

    def set_tau(self, tau: Tau, double_softmax: bool = False) -> None:
        """Set the divisor of the logits."""
        if tau == "auto":
            tau = 1 / self.num_categories if double_softmax else 1.0
        elif isinstance(tau, str) or not 0 < tau < float("inf"):
            raise ValueError(f"model.tau must be a number above 0 or auto, got {tau}")
        self.tau, self.double_softmax = float(tau), double_softmax

    def shared_terms(
        self, epoch: float, reconstruction: Tensor, kl: Tensor, log_q: Tensor
    ) -> Terms:
        """The terms that training and validation share, at an epoch's weights.

        Args:
            reconstruction: -log p(x|s, c) of each agent, shape (A, B), nats.
            kl: The states' KL divergence, shape (A, B), nats.
            log_q: Log q(c|x), shape (A, B, K).
        """
        terms = Terms(self.weights(epoch))
        terms.add("reconstruction", reconstruction)
        terms.add("kl", kl)
        return terms

    def settled_terms(self, step: MixtureStep) -> Terms:
        """The terms that a measured batch has, at the schedules' last values."""
        assert step.reconstruction is not None
        assert step.kl is not None
        return self.shared_terms(SETTLED, step.reconstruction, step.kl, self.log_measured(step))

    def settled_loss(self, step: MixtureStep) -> Tensor:
        """The objective of a measured batch at the schedules' last values, for any epoch."""
        return self.settled_terms(step).total()

    def log_measured(self, step: MixtureStep) -> Tensor:
        """Log q(c|x) of a measured batch, shape (A, B, K); -inf where masked."""
        probs = step.posterior.probs
        return self.mask_log(probs.clamp_min(torch.finfo(probs.dtype).tiny).log())

    def check(self, batch: Batch) -> None:
        """Refuse data that the likelihood cannot describe, and a batch of one sample."""
        if len(batch.x) < 2:
            raise ValueError(
                f"a training batch holds {len(batch.x)} sample, but the categories are compared"
                " over a batch; set data.batch_size to at least 2"
            )
        described = batch.counts if self.likelihood.counts else batch.x
        if described is None:
            raise ValueError(
                f"model.likelihood {type(self.likelihood).__name__} describes raw counts, which"
                " the data do not give; set data.counts_layer to their layer, or choose a"
                " likelihood of normalised values such as gaussian"
            )
        self.likelihood.check(described)

    def moment(self) -> Moment:
        """As `AbstractModule.moment`, and which categories are kept."""
        schedules = super().moment()
        return None if schedules is None else (*schedules, self.num_kept, self.merged)

    def log_q(self, x: Tensor) -> Tensor:
        """Log q(c|x), shape (A, B, K), of x, shape (A, B, *shape) or (B, *shape)."""
        return self.log_categories(self.agents.features(x))

    def log_q_of_seen(self, seen: Tensor) -> Tensor:
        """Log q(c|x), shape (A, B, K), of what the encoder's trained part sees of x."""
        return self.log_categories(self.agents.features_of_seen(seen))

    def log_categories(self, features: Tensor) -> Tensor:
        """Log q(c|x), shape (A, B, K), of features (A, B, H); -inf where masked."""
        return self.log_posterior(self.agents.logits(features))

    def log_posterior(self, logits: Tensor) -> Tensor:
        """Log q(c|x), shape (A, B, K), of its logits, of that shape; -inf where masked."""
        if self.merged:
            kept = self.category_mask[self.merged_into].unsqueeze(1)
            return join_categories(
                self._normalise(logits, lambda values: values.masked_fill(~kept, -math.inf)),
                self.merged_into,
                self.category_mask,
            )
        return self._normalise(logits, self.mask_log)

    def _normalise(self, logits: Tensor, mask: Callable[[Tensor], Tensor]) -> Tensor:
        logits = mask(logits)
        if self.double_softmax:
            logits = mask(logits.softmax(dim=-1))
        return (logits / self.tau).log_softmax(dim=-1)

    def mask_log(self, values: Tensor) -> Tensor:
        """Values (..., K), -inf where the category is masked, with gradient 0 there."""
        if self.num_kept == self.num_categories:
            return values
        return values.masked_fill(~self.category_mask, -math.inf)

    def target(self, batch: Batch, x: Tensor) -> Tensor:
        """The target of the decoder: x, the copies or the samples themselves, or the raw counts."""
        if not self.likelihood.counts:
            return x
        assert batch.counts is not None, "check() comes before training"
        return batch.counts

    def infer(self, x: Tensor) -> MixturePosterior:
        """Categories and states of x, shape (B, *shape), see `contracts.MixturePosterior`."""
        features = self.agents.features(x)
        probs = self.log_categories(features).exp()
        mean, logvar = self.agents.state(features, most_probable(probs))
        return MixturePosterior(probs, mean, logvar)

    def seen(self, batch: Batch) -> Tensor:
        """See `Agents.components`, shape (B, C)."""
        with self.agents.given(batch.covariates):
            return self.agents.components(batch.x).flatten(1)

    @torch.no_grad()
    def state_means(self, x: Tensor) -> Tensor:
        """Means of the first agent's q(s|x) in evaluation mode, (N, S), of x, (N, *shape)."""
        parts = x.to(self.agents.category_head.weight).split(CHUNK)
        with evaluating(self.agents):
            return torch.cat([self.agents.state_of(part)[0][0] for part in parts])

    def decoded(self, category: Tensor, state: Tensor) -> Tensor:
        """Parameters of p(x|s, c), (A, B, *decoded_shape), from (A, B, K) and (A, B, S)."""
        return self.agents.decode(category, state)

    def decode(self, category: Tensor, state: Tensor) -> Tensor:
        """The mean of p(x|s, c), shape (A, B, *shape), from (A, B, K) and (A, B, S)."""
        return self.likelihood.mean(self.decoded(category, state))

    def validation_step(self, batch: Batch, batch_idx: int) -> MixtureStep:  # type: ignore[override]
        """Measure a batch without sampling, and log `losses` at the final weights."""
        step = self.predict_step(batch)
        losses = self.losses(self.settled_loss(step), self.settled_terms(step).means())
        logged = {f"val/{name}": value for name, value in losses.items()}
        self.log_dict(logged, batch_size=len(batch.x), sync_dist=True)
        return step

    def test_step(self, batch: Batch, batch_idx: int) -> MixtureStep:  # type: ignore[override]
        """Measure a batch without sampling."""
        return self.predict_step(batch)

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> MixtureStep:
        """Infer and reconstruct a batch, every agent seeing the sample itself."""
        with self.agents.given(batch.covariates):
            posterior = self.infer(batch.x)
            parameters = self.decoded(most_probable(posterior.probs), posterior.state_mean)
        x = batch.x.expand(self.num_agents, *batch.x.shape)
        return MixtureStep(
            posterior=posterior,
            reconstruction=self.likelihood.nll(parameters, self.target(batch, x)),
            kl=kl_to_standard_normal(posterior.state_mean, posterior.state_logvar),
        )

    @property
    def largest_probability(self) -> float | None:
        """The largest q(c|x) that `double_softmax` allows; None without it, which has no cap."""
        if not self.double_softmax:
            return None
        return 1 / (1 + (self.num_kept - 1) * math.exp(-1 / self.tau))

    def prune(self, categories: Sequence[int]) -> None:
        """Mask categories, numbered from 0, from now on.

        Raises ValueError if a category is not a kept one, or fewer than 2 would be left.
        """
        kept = set(self.category_mask.nonzero().flatten().tolist())
        for category in categories:
            if category not in kept:
                raise ValueError(f"category {category} cannot be pruned: it is not a kept one")
        if len(kept - set(categories)) < 2:
            raise ValueError(
                f"pruning {len(set(categories))} of {len(kept)} categories would leave fewer than 2"
            )
        self.category_mask[list(categories)] = False
        _count_kept(self)

    def align(self, joint: Tensor) -> bool:
        """Rename each agent's kept categories as the others do, in place; say if any changed.

        The optimiser's moments move with the parameters. Masked categories stay in place.

        Args:
            joint: Samples that agent a puts into category i and agent b into j, shape
                (A, A, K, K) as [a, b, i, j], over all processes.
        """
        kept = self.category_mask.to(joint.device)
        # Without samples in a masked category, moving it improves no matching.
        counts = joint * (kept[:, None] & kept)
        permutations = torch.as_tensor(align_agents(counts.cpu().numpy()))
        if torch.equal(permutations, torch.arange(self.num_categories).expand_as(permutations)):
            return False
        permute_categories(self.agents.category_axes(), permutations, self._optimizer)
        new = permutations.to(self.merged_into.device)
        self.merged_into.copy_(new.argsort(dim=1).gather(1, self.merged_into.gather(1, new)))
        return True

    def merge(self, order: Tensor, name: Tensor) -> None:
        """Merge categories, each agent its own; their probabilities add up from now on.

        `order` and `name` are those of `evaluation.merging.Groups`, (A, K), int64.
        """
        if self.merged or self.num_kept < self.num_categories:
            raise ValueError("categories can be merged once, and before any is pruned")
        permute_categories(self.agents.category_axes(), order, self._optimizer)
        self.merged_into.copy_(name)
        self.category_mask[int(name.max()) + 1 :] = False
        _count_kept(self)


def _count_kept(module: Any, _: object = None) -> None:
    module.num_kept = int(module.category_mask.sum())
    module.merged = bool((module.merged_into.diff(dim=1) != 1).any())
