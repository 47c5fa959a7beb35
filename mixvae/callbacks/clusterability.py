"""Measures after a test how well the latent separates categories and labels, beside a PCA."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from mixvae.callbacks.collecting import AbstractPredictionCallback, find_samples
from mixvae.callbacks.measuring import log_values
from mixvae.callbacks.settings import check_least
from mixvae.evaluation.clusterability import compare_clusterability, mixture_latent
from mixvae.evaluation.predictions import PredictionTable
from mixvae.files import write_table
from mixvae.processes import gather_objects


class Clusterability(AbstractPredictionCallback):
    """Log `test/clusterability/...` and write `clusterability.csv`.

    The latent is the mean over agents of the category probabilities, then the state of agent 0.
    Everything is fitted and measured by cross-validation on test samples alone.

    Args:
        max_samples: Test samples to measure at most, drawn by `seed`.
        seed: Seed of that draw and of the folds.
    """

    def __init__(self, dirpath: str, max_samples: int = 10000, seed: int = 0) -> None:
        super().__init__(dirpath)
        check_least("clusterability", 20, max_samples=max_samples)
        self.max_samples = max_samples
        self.seed = seed
        self._values: dict[str, float] = {}

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Measure and log, on all ranks alike."""
        super().conclude(trainer, model, split)
        assert self._table is not None
        self._values = self._measure(trainer, self._table)
        log_values(model, "test/clusterability", self._values)

    def finish(self, trainer: Trainer, model: Any, table: PredictionTable) -> None:
        """Write the table."""
        parts = [name.split("/") for name in self._values]
        rows = [
            [space, "".join(groups), measure, f"{value:.6g}"]
            for (space, *groups, measure), value in zip(parts, self._values.values(), strict=True)
        ]
        header = ["representation", "groups", "measure", "value"]
        write_table(self.dirpath / "clusterability.csv", header, rows)

    def _measure(self, trainer: Trainer, table: PredictionTable) -> dict[str, float]:
        order = np.random.default_rng(self.seed).permutation(len(table.index))
        rows = np.sort(order[: self.max_samples])
        latent = mixture_latent(table.probs[:, rows], table.state_mean[:, rows])
        groups = {"category": table.consensus[rows]}
        if (table.label[rows] >= 0).any():
            groups["label"] = table.label[rows]
        samples = _samples(trainer, table.index[rows])
        return compare_clusterability(latent, samples, groups, seed=self.seed)


def _samples(trainer: Trainer, index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read samples by index from all ranks, flattened, in the order of the indices."""
    found = find_samples(trainer, set(index.tolist()))
    found = {number: arrays for part in gather_objects(found) for number, arrays in part.items()}
    return np.stack([found[number][0].ravel() for number in index.tolist()])
