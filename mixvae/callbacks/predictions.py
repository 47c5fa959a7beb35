"""Writes what the model infers of every test sample into the run folder."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from mixvae.callbacks.collecting import AbstractPredictionCallback, spec_of
from mixvae.callbacks.pictures import log_table
from mixvae.contracts import DataSpec
from mixvae.evaluation.predictions import PredictionTable, tabulate
from mixvae.files import replacing, write_table

MOST_ROWS = 1000  # of a logged table; the files have all


class Predictions(AbstractPredictionCallback):
    """Write `predictions.csv` and `predictions.npz` at the end of a test, ordered by index.

    The .npz holds all arrays of the table, and the names of classes, of each cell and of its batch
    (`class_names`, `cell`, `batch`) where the data have them. The .csv has a line per sample:
    `index`, `label` (-1 where unknown), of cells also `cell` and `type` (names of cell and class),
    `consensus` (the category voted for), `confidence` (its mean probability over agents), and for
    each agent `agent<a>_category`, `agent<a>_probability` and `agent<a>_state<s>`. Loggers that
    take tables get the first lines, and a table of categories and labels.
    """

    def finish(self, trainer: Trainer, model: Any, table: PredictionTable) -> None:
        """Write both files, and log tables of predictions and confusion."""
        spec = spec_of(trainer, DataSpec)
        columns = _named(trainer, table) | _columns(table)
        rows = list(zip(*columns.values(), strict=True))
        write_table(self.dirpath / "predictions.csv", list(columns), rows)
        names: dict[str, Any] = {"class_names": spec.class_names, "cell": columns.get("cell")}
        batches = getattr(getattr(trainer, "datamodule", None), "batch_labels", None)
        if batches is not None:
            names["batch"] = [str(batches[index]) for index in table.index.tolist()]
        with replacing(self.dirpath / "predictions.npz") as temporary:
            words = {name: np.array(values, dtype=str) for name, values in names.items() if values}
            arrays: dict[str, Any] = {**table._asdict(), **words}
            np.savez_compressed(temporary, **arrays)
        of_all = [name for name in columns if not name.startswith("agent")]
        log_table(trainer, "predictions", of_all, [row[: len(of_all)] for row in rows[:MOST_ROWS]])
        _log_confusion(trainer, table, spec)


def _log_confusion(trainer: Trainer, table: PredictionTable, spec: DataSpec) -> None:
    """Log the test samples by category of the vote and label, if there are labels."""
    voted = tabulate(table, spec.num_classes).labels[-1]
    if not voted.sum():
        return
    names = spec.class_names or tuple(f"label {c}" for c in range(spec.num_classes))
    used = np.flatnonzero(voted.sum(axis=1))
    rows = [[k, *voted[k].tolist()] for k in used.tolist()]
    log_table(trainer, "confusion", ["category", *names], rows)


def _named(trainer: Trainer, table: PredictionTable) -> dict[str, list[Any]]:
    """The first columns: of cells with their names."""
    columns: dict[str, list[Any]] = {"index": table.index.tolist()}
    cells = getattr(getattr(trainer, "datamodule", None), "cell_names", None)
    if cells:
        columns["cell"] = [cells.get(index, "") for index in table.index.tolist()]
    columns["label"] = table.label.tolist()
    names = spec_of(trainer, DataSpec).class_names if cells else ()
    if names:
        columns["type"] = ["" if k < 0 else names[k] for k in table.label.tolist()]
    return columns


def _columns(table: PredictionTable) -> dict[str, list[Any]]:
    num_agents, _, state_dim = table.state_mean.shape
    columns: dict[str, list[Any]] = {
        "consensus": table.consensus.tolist(),
        "confidence": _decimals(table.confidence),
    }
    for a in range(num_agents):
        columns[f"agent{a}_category"] = table.category[a].tolist()
        columns[f"agent{a}_probability"] = _decimals(table.probability[a])
        for s in range(state_dim):
            columns[f"agent{a}_state{s}"] = _decimals(table.state_mean[a, :, s])
    return columns


def _decimals(values: NDArray[np.float32]) -> list[str]:
    return [f"{value:.6g}" for value in values.tolist()]
