"""Agents whose labels are matched at given epochs, where poor agents are replaced first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixvae.messages import inform
from mixvae.modules.mixture import AbstractMixture
from mixvae.networks.axes import replace_agents
from mixvae.objectives.assignment import joint_counts
from mixvae.objectives.terms import Terms


class AbstractMatched(AbstractMixture):
    """A mixture whose agents are matched by what they assigned in the last epoch.

    Each process counts its own samples; the sums of an epoch are those of all processes, and the
    checkpoint has them.
    """

    joint_counts: Tensor
    informations: Tensor

    def _set_matching(self, align_epochs: Sequence[int], best_agents: int | None) -> None:
        """Take the epochs of the matching, and how many agents go on at the first."""
        if min(align_epochs, default=0) < 0:
            raise ValueError(f"model.align_epochs must all be at least 0, got {min(align_epochs)}")
        if best_agents is not None and best_agents < 1:
            raise ValueError(f"model.best_agents must be at least 1, or null, got {best_agents}")
        if best_agents is not None and best_agents >= self.num_agents:
            best_agents = None  # all go on
        if best_agents is not None:
            self._check_comparison(align_epochs)
        self.align_epochs, self.best_agents = frozenset(align_epochs), best_agents
        # How often agents a and b put a sample of this epoch into categories i and j.
        counts = torch.zeros([self.num_agents] * 2 + [self.num_categories] * 2, dtype=torch.int64)
        self.register_buffer("joint_counts", counts)
        if best_agents is not None:
            # Each agent's information term in this epoch, in nats, summed over steps.
            self.register_buffer("informations", torch.zeros(self.num_agents))
        # By default the first process's buffers go to all.
        self._ddp_params_and_buffers_to_ignore = ["joint_counts", "informations"]

    def _check_comparison(self, align_epochs: Sequence[int]) -> None:
        first = min(align_epochs, default=0)
        if first == 0:
            raise ValueError(
                "model.best_agents compares the agents in the epoch before the first of"
                f" model.align_epochs, which must be at least 1, got {list(align_epochs)}"
            )
        if self.weights(first - 1)["information"] == 0:
            raise ValueError(
                "model.best_agents compares the agents by their information term, whose weight is 0"
                f" before epoch {first}; set model.information_weight, or model.best_agents=null"
            )

    def _count(self, log_q: Tensor, terms: Terms) -> None:
        """Add up a step: assignments by log q(c|x), (A, B, K), and the agents' information."""
        if self.align_epochs:
            self.joint_counts += joint_counts(log_q.detach().argmax(-1), self.num_categories)
        if self.best_agents is not None:
            self.informations += terms["information"].value.detach()

    def on_train_epoch_start(self) -> None:
        """Match the agents' labels in `align_epochs`; keep the best agents before."""
        super().on_train_epoch_start()
        if not self.align_epochs:
            return
        if self.current_epoch in self.align_epochs and self.joint_counts.any():
            if self.best_agents is not None and self.current_epoch == min(self.align_epochs):
                self._keep_best(self.best_agents)
            self.align(self.joint_counts)
        self.joint_counts.zero_()
        if self.best_agents is not None:
            self.informations.zero_()

    def on_train_epoch_end(self) -> None:
        """Add up what all processes counted."""
        super().on_train_epoch_end()
        if self.align_epochs:
            self.joint_counts = self.trainer.strategy.reduce(self.joint_counts, reduce_op="sum")
        if self.best_agents is not None:
            self.informations = self.trainer.strategy.reduce(self.informations, reduce_op="sum")

    def _keep_best(self, count: int) -> None:
        """Let the other agents go on from so many best ones, in turn."""
        order = self.informations.argsort(descending=True).cpu()
        source = torch.arange(self.num_agents)
        source[order] = order[source % count]
        best = ", ".join(map(str, sorted(order[:count].tolist())))
        inform(f"all agents go on from the best by information: {best} of {self.num_agents}")
        replace_agents(self.agents, source, self._optimizer)
        source = source.to(self.joint_counts.device)
        self.joint_counts.copy_(self.joint_counts[source][:, source])

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
