"""CascadeVAE: states released one after another, categories assigned to a batch at least cost."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixvae.contracts import Batch, MixturePosterior
from mixvae.modules.base import Moment, plain_number
from mixvae.modules.mixture import AbstractMixture
from mixvae.networks.batched import evaluating
from mixvae.objectives.assignment import assign_balanced
from mixvae.objectives.divergences import kl_to_standard_normal
from mixvae.objectives.relaxation import reparametrise
from mixvae.objectives.terms import Terms
from mixvae.processes import gather_over_processes, own_share


class CascadeVAE(AbstractMixture):
    """One agent with q(s|x) and no q(c|x): the category is the one that explains a sample best.

    Minimises, in nats, summed over features and averaged over the batch,

        -log p(x|s, c) + beta_low KL of the released state dimensions
                       + beta_high KL of those not yet released

    Every `dimension_epochs` one more dimension is released. Until `category_after` of them are, the
    decoder sees no category, c = 0. From then on the categories of each batch are assigned at the
    least sum of -log p(x|s, c), plus `pair_cost` for each pair that shares a category.

    For evaluation q(c|x) is the softmax over c of log p(x|s, c) at the mean state; its largest
    entry is the assignment of a sample alone.

    Args:
        beta_low: Weight of the KL divergence of a released dimension, at least 0.
        beta_high: Weight of that of the others, at least `beta_low`.
        dimension_epochs: Epochs from one release to the next, above 0.
        category_after: Dimensions released before there are categories, in [0, S].
        pair_cost: Nats for each pair of a batch in one category, at least 0.
        **shared: See `AbstractMixture`; the likelihood is of the values that the encoder sees.

    Source:
        CascadeVAE (Jeong & Song 2019), algorithm 1, and its public code, which starts Adam afresh
        for each release, decays the weights of its layers (4e-5) and multiplies the learning rate
        by .3 every 50,000 steps.
    """

    state_sees_category = False

    def __init__(
        self,
        *,
        beta_low: float = 0.1,
        beta_high: float = 10.0,
        dimension_epochs: float = 1.0,
        category_after: int = 4,
        pair_cost: float = 0.001,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if self.likelihood.counts:
            raise ValueError(
                "CascadeVAE infers a category from how well it explains x, but model.likelihood"
                f" {type(self.likelihood).__name__} describes raw counts; choose one of values"
            )
        self.beta_low = plain_number("beta_low", beta_low, at_least=0)
        self.beta_high = plain_number("beta_high", beta_high, at_least=beta_low)
        self.dimension_epochs = plain_number("dimension_epochs", dimension_epochs, above=0)
        self.pair_cost = plain_number("pair_cost", pair_cost, at_least=0)
        if not 0 <= category_after <= self.state_dim:
            raise ValueError(
                f"model.category_after must lie in [0, model.state_dim = {self.state_dim}], got"
                f" {category_after}"
            )
        self.category_after = category_after
        # Nothing trains the head; data-parallel training would wait for its gradients.
        self.agents.category_head.requires_grad_(False)

    def check_epochs(self, max_epochs: int) -> None:
        """Refuse a training that ends before the last release."""
        needed = self.dimension_epochs * self.state_dim
        if needed >= max_epochs:
            raise ValueError(
                f"model.dimension_epochs is {self.dimension_epochs:g}, so the last of"
                f" {self.state_dim} dimensions is released after {needed:g} epochs, but"
                f" trainer.max_epochs is {max_epochs}; shorten the first or raise the second"
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

    def weights(self, epoch: float) -> dict[str, float]:
        """`beta_low` for the released dimensions and `beta_high` for the others."""
        return {"reconstruction": 1.0, "kl": self.beta_low, "kl_unreleased": self.beta_high}

    def terms(self, batch: Batch) -> Terms:
        """The objective on a batch, see the class."""
        epoch, x = self.epoch, batch.x
        mean, logvar = self.agents.state_of(x)
        state = reparametrise(mean, logvar)
        category = state.new_zeros(1, len(x), self.num_categories)
        if self.has_categories(epoch):
            category = self._assign(x, state)
        terms = Terms(self.weights(epoch))
        nll = self.likelihood.nll(self.agents.decode(category, state), x)
        terms.add("reconstruction", nll)
        released = self.num_released(epoch)
        low = kl_to_standard_normal(mean[..., :released], logvar[..., :released])
        high = kl_to_standard_normal(mean[..., released:], logvar[..., released:])
        terms.add("kl", low)
        terms.add("kl_unreleased", high)
        return terms

    @torch.no_grad()
    def _assign(self, x: Tensor, state: Tensor) -> Tensor:
        """The categories of a batch of all processes at least cost, one-hot, shape (1, B, K)."""
        # A sample's cost must not depend on the others' decoding with wrong categories.
        with evaluating(self.agents.decoder):
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
