"""All measures of a mixture model over a data split, accumulated as sums."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from mixvae.contracts import MixtureStep
from mixvae.evaluation.clustering import (
    adjusted_rand_index,
    clustering_accuracy,
    normalised_mutual_information,
)
from mixvae.evaluation.consensus import category_consensus, vote
from mixvae.evaluation.health import count_populated, diagnose_collapse

LABEL_MEASURES = {
    "accuracy": clustering_accuracy,
    "nmi": normalised_mutual_information,
    "ari": adjusted_rand_index,
}


def _count(code: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Count how often each cell of a table of a given shape is hit, by flat index."""
    counts = torch.bincount(code.flatten(), minlength=math.prod(shape))
    assert counts.numel() == math.prod(shape), "an index lies outside the table"
    return counts.view(shape)


class MixtureCounts(NamedTuple):
    """Contingency tables, for figures and diagnoses.

    Attributes:
        occupancy: Samples per category of each agent and, last, of the vote, shape (A+1, K).
        labels: Samples per category and class, the vote last, shape (A+1, K, C).
        joint: Samples per category of agent a and category of agent b, shape (A, A, K, K).
    """

    occupancy: NDArray[np.int64]
    labels: NDArray[np.int64]
    joint: NDArray[np.int64]


class MixtureEvaluation(Metric):
    """Clustering, consensus and health of a mixture model, independent of the batches.

    Every state is a sum: memory does not grow with the samples, and ranks add up.

    Args:
        num_classes: Number of label classes C, 0 without labels.
        mask: Categories that are kept (True), shape (K,); pruned ones are neither counted as empty
            nor averaged in. None keeps all.
    """

    full_state_update = False

    occupancy: Tensor
    labels: Tensor
    joint: Tensor
    nats: Tensor
    num_samples: Tensor

    def __init__(
        self,
        num_agents: int,
        num_categories: int,
        num_classes: int,
        mask: Tensor | None = None,
        can_decode: bool = True,
    ) -> None:
        super().__init__()
        self.can_decode = can_decode
        self.kept = np.ones(num_categories, bool) if mask is None else mask.cpu().numpy().copy()
        self.num_agents = num_agents
        self.num_categories = num_categories
        self.num_classes = num_classes
        voters = num_agents + 1
        shapes: dict[str, tuple[int, ...]] = {
            "occupancy": (voters, num_categories),
            "labels": (voters, num_categories, num_classes),
            "joint": (num_agents, num_agents, num_categories, num_categories),
            "num_samples": (),
        }
        for name, shape in shapes.items():
            zeros = torch.zeros(shape, dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")
        # Sums of entropy, reconstruction and KL of each agent, in that order.
        nats = torch.zeros(3, num_agents, dtype=torch.float64)
        self.add_state("nats", nats, dist_reduce_fx="sum")

    def update(self, step: MixtureStep, label: Tensor) -> None:
        """Add a batch.

        Args:
            label: Classes, shape (B,), int64; negative where unknown.
        """
        probs = step.posterior.probs.float()
        num_agents, num_samples, num_categories = probs.shape
        assert (num_agents, num_categories) == (self.num_agents, self.num_categories)
        category = torch.cat([probs.argmax(dim=-1), vote(probs)[None]])
        self.occupancy += self._count_categories(category)
        self._add_labels(category, label)
        self._add_joint(category[:-1])
        # xlogy gives a category of probability 0 its limit, 0 nats.
        entropy = -torch.xlogy(probs, probs).sum(dim=-1)
        sums = [entropy]
        if self.can_decode:
            assert step.reconstruction is not None
            assert step.kl is not None
            sums += [step.reconstruction, step.kl]
        self.nats[: len(sums)] += torch.stack(sums).double().sum(dim=-1)
        self.num_samples += num_samples

    def _count_categories(self, category: Tensor) -> Tensor:
        voter = torch.arange(category.shape[0], device=category.device)[:, None]
        code = voter * self.num_categories + category
        return _count(code, (category.shape[0], self.num_categories))

    def _add_labels(self, category: Tensor, label: Tensor) -> None:
        if self.num_classes == 0:
            return
        known = label >= 0
        category, label = category[:, known], label[known]
        voter = torch.arange(category.shape[0], device=category.device)[:, None]
        code = (voter * self.num_categories + category) * self.num_classes + label
        self.labels += _count(code, tuple(self.labels.shape))

    def _add_joint(self, category: Tensor) -> None:
        agent = torch.arange(self.num_agents, device=category.device)
        pair = agent[:, None, None] * self.num_agents + agent[None, :, None]
        code = (pair * self.num_categories + category[:, None]) * self.num_categories + category
        self.joint += _count(code, tuple(self.joint.shape))

    def counts(self) -> MixtureCounts:
        """Return the tables of this rank as arrays."""
        tables = (self.occupancy, self.labels, self.joint)
        return MixtureCounts(*(table.cpu().numpy() for table in tables))

    def compute(self) -> dict[str, Tensor]:
        """Compute the measures over all samples so far.

        Without a labelled sample `accuracy`, `nmi` and `ari` are left out, with one agent
        `consensus`, `populated_consensus` and `min_consensus`, without a decoder `reconstruction`
        and `kl`.

        Returns:
            Scalars by name, float64. Entropy, reconstruction and KL are means over samples and
            agents, nats; consensus is a mean over kept categories, see `category_consensus`;
            `entropy_fraction` is of the logarithm of their number; `populated_categories` are those
            of the vote, `populated_by_agents` the mean over agents of those of each.
        """
        num_samples = int(self.num_samples)
        if num_samples == 0:
            raise ValueError("nothing to evaluate: the data split holds no samples")
        counts = self.counts()
        entropy, reconstruction, kl = (self.nats.mean(dim=-1) / num_samples).tolist()
        num_kept = int(self.kept.sum())
        *by_agent, populated = (count_populated(one) for one in counts.occupancy[:, self.kept])
        # The vote of agents whose categories are not aligned yet says nothing about a
        # collapse: each agent may use them all.
        populated_by_agents = float(np.mean(by_agent))
        collapse = diagnose_collapse(entropy, round(populated_by_agents), num_kept)
        values = {
            **self._label_measures(counts.labels),
            **self._consensus_measures(counts.joint),
            "entropy": entropy,
            "entropy_fraction": entropy / math.log(num_kept),
            "kept_categories": num_kept,
            "populated_categories": populated,
            "populated_by_agents": populated_by_agents,
            **({"reconstruction": reconstruction, "kl": kl} if self.can_decode else {}),
            "collapse_warning": collapse is not None,
        }
        device = self.nats.device
        return {
            name: torch.tensor(float(value), dtype=torch.float64, device=device)
            for name, value in values.items()
        }

    def _label_measures(self, labels: NDArray[np.int64]) -> dict[str, float]:
        if labels.sum() == 0:
            return {}
        values = {name: measure(labels[-1]) for name, measure in LABEL_MEASURES.items()}
        for name, measure in LABEL_MEASURES.items():
            for agent in range(self.num_agents):
                values[f"{name}/agent{agent}"] = measure(labels[agent])
        return values

    def _consensus_measures(self, joint: NDArray[np.int64]) -> dict[str, float]:
        if self.num_agents == 1:
            return {}
        consensus = category_consensus(joint)[self.kept]
        used = np.einsum("aakk->k", joint)[self.kept] > 0
        return {
            "consensus": float(consensus.mean()),
            "populated_consensus": float(consensus[used].mean()),
            "min_consensus": float(consensus.min()),
        }
