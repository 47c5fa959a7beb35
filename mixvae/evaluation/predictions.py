"""Inferences of a mixture model for every sample of a split, in the order of the source data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.contracts import Batch, MixturePosterior
from mixvae.evaluation.collecting import Collector
from mixvae.evaluation.consensus import agreement, vote
from mixvae.evaluation.mixture import MixtureCounts


class PredictionTable(NamedTuple):
    """Inferences for N samples, ordered by their index, each sample once.

    Attributes:
        index: Row of each sample in its source data set, shape (N,), int64.
        label: Class, -1 where unknown, shape (N,), int64.
        probs: q(c|x) of each agent, shape (A, N, K), float32.
        category: Most probable category of each agent, shape (A, N), int64.
        consensus: Category that the agents vote for, see `consensus.vote`, shape (N,), int64.
        state_mean: Mean of the state of each agent, shape (A, N, S), float32.
    """

    index: NDArray[np.int64]  # type: ignore[assignment]  # shadows the method of tuple
    label: NDArray[np.int64]
    probs: NDArray[np.float32]
    category: NDArray[np.int64]
    consensus: NDArray[np.int64]
    state_mean: NDArray[np.float32]

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of each agent's category, shape (A, N)."""
        largest: NDArray[np.float32] = self.probs.max(axis=-1)
        return largest

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Mean over agents of the probability of the consensus category, shape (N,)."""
        probs, consensus = torch.from_numpy(self.probs), torch.from_numpy(self.consensus)
        return agreement(probs, consensus).numpy()


class PredictionCollector(Collector):
    """Collects inferences over batches and ranks."""

    columns = ("index", "label", "probs", "state_mean")

    def update(self, posterior: MixturePosterior, batch: Batch) -> None:
        """Add a batch."""
        probs, state_mean = (
            part.float().transpose(0, 1) for part in (posterior.probs, posterior.state_mean)
        )
        self.add(index=batch.index, label=batch.label, probs=probs, state_mean=state_mean)

    def compute(self) -> PredictionTable:
        """Join all batches of all ranks, ordered by index."""
        found = self.gathered()
        probs, state_mean = (
            np.ascontiguousarray(found[name].swapaxes(0, 1)) for name in ("probs", "state_mean")
        )
        return PredictionTable(
            index=found["index"],
            label=found["label"],
            probs=probs,
            category=probs.argmax(axis=-1),
            consensus=vote(torch.from_numpy(probs)).numpy(),
            state_mean=state_mean,
        )


def tabulate(table: PredictionTable, num_classes: int) -> MixtureCounts:
    """Count the samples of a table by category, class and pairs of agents."""
    num_agents, _, num_categories = table.probs.shape
    chosen = np.eye(num_categories, dtype=np.int64)[table.category]
    voted = np.eye(num_categories, dtype=np.int64)[table.consensus]
    known = table.label >= 0
    label = np.eye(num_classes, dtype=np.int64)[table.label[known]]
    voters = np.concatenate([chosen, voted[None]])
    joint = np.stack(
        [[chosen[a].T @ chosen[b] for b in range(num_agents)] for a in range(num_agents)]
    )
    labels = np.stack([voter[known].T @ label for voter in voters])
    return MixtureCounts(voters.sum(axis=1), labels, joint)
