"""Measures after a test whether categories follow the batches of the samples."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from mixvae.callbacks.collecting import AbstractPredictionCallback
from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.callbacks.measuring import log_values
from mixvae.callbacks.settings import check_least
from mixvae.contracts import Batch
from mixvae.evaluation.mixing import composition, label_agreement, lisi, of_one_batch
from mixvae.evaluation.predictions import PredictionTable
from mixvae.files import write_table
from mixvae.messages import warn
from mixvae.processes import gather_objects


@runtime_checkable
class Aligning(Protocol):
    """A model whose encoder sees batches laid over each other."""

    def alignment(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """What it sees of a batch of samples before and after, each (B, C); None if the same."""
        ...


class BatchComposition(AbstractPredictionCallback):
    """Write `batch_composition.csv` and log `test/batch/...`, for data with batches.

    `ari_category`: agreement of categories with batches, 0 where they are independent. `ilisi`:
    effective number of batches around a sample in what the encoder sees; `ilisi_before`: without
    the alignment. `ari_label`, `ari_label_before`: agreement of the labels with k-means there.
    A category of one batch is warned of.

    Args:
        max_samples: Test samples to measure at most, drawn by `seed`.
        seed: Seed of that draw and of k-means.
    """

    def __init__(self, dirpath: str, max_samples: int = 5000, seed: int = 0) -> None:
        super().__init__(dirpath)
        check_least("batch_composition", 20, max_samples=max_samples)
        self.max_samples, self.seed = max_samples, seed

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Measure and log, on all ranks alike."""
        super().conclude(trainer, model, split)
        assert self._table is not None
        names = _batch_names(trainer)
        if names is None:
            return
        table = self._table
        batch = np.unique(names, return_inverse=True)[1][table.index]
        from sklearn.metrics import adjusted_rand_score  # slow to import

        values = {"ari_category": float(adjusted_rand_score(batch, table.consensus))}
        order = np.random.default_rng(self.seed).permutation(len(table.index))
        chosen = np.sort(order[: self.max_samples])
        seen = _seen(trainer, model, table.index[chosen])
        if seen is not None:
            for name, points in zip(("_before", ""), seen, strict=True):
                values[f"ilisi{name}"] = float(lisi(points, batch[chosen]).mean())
                agreement = label_agreement(points, table.label[chosen], self.seed)
                if agreement is not None:
                    values[f"ari_label{name}"] = agreement
        log_values(model, "test/batch", values)

    def finish(self, trainer: Trainer, model: Any, table: PredictionTable) -> None:
        """Write the table, and warn."""
        labels = _batch_names(trainer)
        if labels is None:
            return
        names, number = np.unique(labels, return_inverse=True)
        used, counts = composition(table.consensus, number[table.index], len(names))
        rows = [
            [k, name, int(count), f"{count / row.sum():.6g}"]
            for k, row in zip(used.tolist(), counts, strict=True)
            for name, count in zip(names, row, strict=True)
        ]
        header = ["category", "batch", "samples", "share"]
        write_table(self.dirpath / "batch_composition.csv", header, rows)
        for row, batch in of_one_batch(counts):
            warn(
                f"category {used[row]} is of one batch: {counts[row, batch]} of its"
                f" {counts[row].sum()} test cells are of {names[batch]}; a type that only this"
                " batch has, or an effect of the batch (see batch_composition.csv)"
            )


def _batch_names(trainer: Trainer) -> NDArray[np.str_] | None:
    """Batch of each sample of the source, shape (N,); None where the data have none."""
    names = getattr(datamodule_of(trainer), "batch_labels", None)
    return None if names is None else np.array(names, dtype=str)


def _seen(
    trainer: Trainer, model: LightningModule, index: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """What the encoder sees of samples of all ranks before and after, in the order of `index`."""
    if not isinstance(model, Aligning):
        return None
    wanted = torch.from_numpy(index)
    found: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    for batch in datamodule_of(trainer).test_dataloader():
        rows = torch.isin(batch.index.cpu(), wanted).nonzero().flatten().to(batch.x.device)
        beside = None if batch.covariates is None else batch.covariates[rows].to(model.device)
        cut = batch._replace(x=batch.x[rows].to(model.device), covariates=beside)
        seen = model.alignment(cut)
        if seen is None:
            return None
        numbers = batch.index[rows].tolist()
        found |= zip(numbers, zip(*(part.cpu().numpy() for part in seen), strict=True), strict=True)
    found = {number: pair for part in gather_objects(found) for number, pair in part.items()}
    before, after = zip(*(found[number] for number in index.tolist()), strict=True)
    return np.stack(before), np.stack(after)
