"""Measures after a test how well the latent tells categories and labels apart, beside a PCA."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from mixvae.callbacks.collecting import AbstractPredictionCallback
from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.callbacks.tables import write_table
from mixvae.evaluation.clusterability import compare_clusterability, mixture_latent
from mixvae.evaluation.predictions import PredictionTable


class Clusterability(AbstractPredictionCallback):
    """Log `test/clusterability/...` and write `clusterability.csv`.

    The latent is the mean over agents of the category probabilities, then the state of agent 0.
    Everything is fitted and measured by cross-validation on test samples alone.

    Args:
        dirpath: Folder to write into, usually the run folder.
        max_samples: Test samples to look at, drawn by `seed` where there are more.
        seed: Of that draw and of the folds.

    Raises:
        ValueError: If `max_samples` is below 20.
    """

    def __init__(self, dirpath: str, max_samples: int = 10000, seed: int = 0) -> None:
        super().__init__(dirpath)
        if max_samples < 20:
            raise ValueError(f"max_samples must be 20 or more, got {max_samples}")
        self.max_samples = max_samples
        self.seed = seed

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure and log, on all ranks alike; the first one writes."""
        super().on_test_epoch_end(trainer, pl_module)
        table, self._table = self._table, None
        assert table is not None
        values = self._measure(trainer, table)
        # float64, so that what is logged is what is written. The values are equal on all ranks
        # already; sync_dist tells Lightning so.
        pl_module.log_dict(
            {
                f"test/clusterability/{name}": torch.tensor(
                    value, dtype=torch.float64, device=pl_module.device
                )
                for name, value in values.items()
            },
            sync_dist=True,
        )
        if not trainer.is_global_zero:
            return
        parts = [name.split("/") for name in values]
        rows = [
            [space, "".join(groups), measure, f"{value:.6g}"]
            for (space, *groups, measure), value in zip(parts, values.values(), strict=True)
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
    """Read the samples of some indices, flattened, in their order; each rank reads its own."""
    wanted = set(index.tolist())
    found: dict[int, NDArray[np.float32]] = {}
    datamodule = datamodule_of(trainer)
    for batch in datamodule.test_dataloader():
        for row, number in enumerate(batch.index.tolist()):
            if number in wanted:
                found[number] = batch.x[row].flatten().cpu().numpy()
    if trainer.world_size > 1:
        parts: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(parts, found)
        found = {number: x for part in parts for number, x in part.items()}
    return np.stack([found[number] for number in index.tolist()])
