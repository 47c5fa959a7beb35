"""Writes what the model infers of every test sample into the run folder."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer

from mixvae.callbacks.collecting import AbstractPredictionCallback
from mixvae.evaluation.predictions import PredictionTable
from mixvae.files import replacing


def write_csv(table: PredictionTable, path: Path) -> None:
    """Write one line per sample: what a person or a spreadsheet reads.

    Columns: `index`, `label` (-1 where unknown), `consensus` (the category voted for),
    `confidence` (its mean probability over agents), and for each agent a `agent<a>_category`,
    `agent<a>_probability` and `agent<a>_state<s>`.

    Args:
        table: The predictions.
        path: File to write or overwrite.
    """
    num_agents, _, state_dim = table.state_mean.shape
    columns: dict[str, list[Any]] = {
        "index": table.index.tolist(),
        "label": table.label.tolist(),
        "consensus": table.consensus.tolist(),
        "confidence": _decimals(table.confidence),
    }
    for a in range(num_agents):
        columns[f"agent{a}_category"] = table.category[a].tolist()
        columns[f"agent{a}_probability"] = _decimals(table.probability[a])
        for s in range(state_dim):
            columns[f"agent{a}_state{s}"] = _decimals(table.state_mean[a, :, s])
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_npz(table: PredictionTable, path: Path) -> None:
    """Write all arrays of the table under their names: what a program reads.

    Args:
        table: The predictions.
        path: File to write or overwrite.
    """
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **table._asdict())


def _decimals(values: np.ndarray[Any, np.dtype[np.float32]]) -> list[str]:
    return [f"{value:.6g}" for value in values.tolist()]


class Predictions(AbstractPredictionCallback):
    """Write `predictions.csv` and `predictions.npz` at the end of a test, ordered by index.

    Args:
        dirpath: Folder to write into, usually the run folder.
    """

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files, on the first rank."""
        table = self.take_table(trainer)
        if table is not None:
            write_csv(table, self.dirpath / "predictions.csv")
            write_npz(table, self.dirpath / "predictions.npz")
