"""Disentanglement of a mixture model's states and categories, over batches and ranks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixvae.contracts import MixturePosterior
from mixvae.evaluation.collecting import Collector
from mixvae.evaluation.disentanglement import dci, factor_vae_score, mutual_information_gap

STATES = "states"


class DisentanglementScores(Collector):
    """Collects codes and factors; scores at most `max_samples` samples, at least 2.

    An agent's codes are the means of its states and its most probable category.
    """

    columns = ("index", "factors", "category", "state_mean")

    def __init__(self, max_samples: int = 10_000, seed: int = 0) -> None:
        super().__init__()
        if max_samples < 2:
            raise ValueError(f"max_samples must be at least 2, got {max_samples}")
        self.max_samples = max_samples
        self.seed = seed

    def update(self, posterior: MixturePosterior, index: Tensor, factors: Tensor) -> None:
        """Add a batch.

        Args:
            index: Row of each sample in its source, shape (B,), int64.
            factors: Values of the factors, shape (B, F), int64.
        """
        category = posterior.probs.argmax(dim=-1).transpose(0, 1)
        state_mean = posterior.state_mean.float().transpose(0, 1)
        self.add(index=index, factors=factors, category=category, state_mean=state_mean)

    def compute(self) -> dict[str, Tensor]:
        """Compute the scores of the collected samples.

        Returns:
            Scalars by name, float64, means over agents: `factor_vae`, `mig`, `dci_disentanglement`,
            `dci_completeness` and `dci_informativeness` of states and category together, and
            `factor_vae/states`, `mig/states` of the states alone; empty if fewer than two
            samples or no factor that varies was seen.
        """
        index, *columns = self.gathered().values()
        random = np.random.default_rng(self.seed)
        rows = np.sort(random.permutation(len(index))[: self.max_samples])
        factors, category, state_mean = (column[rows] for column in columns)
        if len(rows) < 2 or (factors == factors[0]).all():
            return {}
        agents = [
            self._scores(state_mean[:, a], factors, category[:, a])
            for a in range(category.shape[1])
        ]
        return {
            name: torch.tensor(
                np.mean([agent[name] for agent in agents]), dtype=torch.float64, device=self.device
            )
            for name in agents[0]
        }

    def _scores(
        self, states: NDArray[np.float32], factors: NDArray[np.int64], category: NDArray[np.int64]
    ) -> dict[str, float]:
        scores = dci(states, factors, category, self.seed)
        values = {
            "factor_vae": factor_vae_score(states, factors, category, self.seed),
            "mig": mutual_information_gap(states, factors, category),
            "dci_disentanglement": scores.disentanglement,
            "dci_completeness": scores.completeness,
            "dci_informativeness": scores.informativeness,
        }
        if states.shape[1]:
            values[f"factor_vae/{STATES}"] = factor_vae_score(states, factors, seed=self.seed)
            values[f"mig/{STATES}"] = mutual_information_gap(states, factors)
        return values
