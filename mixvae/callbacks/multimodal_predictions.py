"""Writes what a multimodal model infers of every test sample into the run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from mixvae.callbacks.collecting import AbstractLatentCallback, spec_of, tested_split
from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.contracts import MultimodalSpec
from mixvae.evaluation.latents import LatentTable
from mixvae.files import replacing, write_table

Columns = dict[str, NDArray[Any]]

OWN_COLUMNS = ("row", "label", "mean", "logvar")


class MultimodalPredictions(AbstractLatentCallback):
    """Write `predictions.npz` and `predictions.csv` at the end of a test.

    For each modality: `row` in its own array, `label`, further columns of the data module (such as
    `trial` and `window`), `mean` and `logvar` of q(z|x_m). Models with a joint posterior have the
    same under `joint`, where `row` is that of the files, or the number of the event where events
    are made of separate recordings. In the .npz the arrays are named `<modality>/<column>`;
    `events/row` is `row` for all events, `events/rows` the samples of each event (-1 for a missing
    one), and `class_names` the names of the labels.

    Args:
        anndata: Also write `predictions_<modality>.h5ad`, the latents in `obsm["X_latent"]`.
    """

    def __init__(self, dirpath: str, anndata: bool = False) -> None:
        super().__init__(dirpath)
        if anndata and find_spec("anndata") is None:
            raise ModuleNotFoundError(
                "callbacks.predictions.anndata=true needs anndata: pip install mixvae[cells]"
            )
        self.anndata = anndata

    def finish(self, trainer: Trainer, model: Any, table: LatentTable) -> None:
        """Write the files."""
        datamodule = datamodule_of(trainer)
        row = datamodule.event_rows(tested_split(datamodule))[table.index]
        tables = _tables(trainer, table, row)
        events = {"row": row, "label": table.label, "rows": table.rows}
        arrays = {
            f"{name}/{column}": values
            for name, columns in {**tables, "events": events}.items()
            for column, values in columns.items()
        }
        arrays["class_names"] = np.array(spec_of(trainer, MultimodalSpec).class_names, dtype=str)
        with replacing(self.dirpath / "predictions.npz") as temporary:
            np.savez_compressed(temporary, **arrays)
        header, rows = _lines(tables)
        write_table(self.dirpath / "predictions.csv", header, rows)
        if self.anndata:
            for name, columns in tables.items():
                with replacing(self.dirpath / f"predictions_{name}.h5ad") as temporary:
                    _as_anndata(columns).write_h5ad(temporary)


def _tables(trainer: Trainer, table: LatentTable, row: NDArray[np.int64]) -> dict[str, Columns]:
    """Gather the columns of each modality and of the joint posterior of events, by name."""
    datamodule = datamodule_of(trainer)
    tables: dict[str, Columns] = {}
    for m, modality in enumerate(spec_of(trainer, MultimodalSpec).modalities):
        latents = table.of_modality(m)
        known = datamodule.sample_table(tested_split(datamodule), m)
        order = np.argsort(known["row"], kind="stable")
        place = order[np.searchsorted(known["row"], latents.row, sorter=order)]
        assert np.array_equal(known["row"][place], latents.row), "a sample belongs to another split"
        extra = {name: values[place] for name, values in known.items() if name not in OWN_COLUMNS}
        own = (latents.label, latents.mean, latents.logvar)
        tables[modality.name] = {"row": latents.row, **extra, **_inferred(*own)}
    if table.joint_mean is not None and table.joint_logvar is not None:
        own = (table.label, table.joint_mean, table.joint_logvar)
        tables["joint"] = {"row": row, **_inferred(*own)}
    return tables


def _inferred(label: NDArray[Any], mean: NDArray[Any], logvar: NDArray[Any]) -> Columns:
    return {"label": label, "mean": mean, "logvar": logvar}


def _lines(tables: Mapping[str, Columns]) -> tuple[list[str], Iterator[Sequence[Any]]]:
    """Return the header and lines of predictions.csv, one line per sample."""
    names = [name for columns in tables.values() for name in columns if name not in OWN_COLUMNS]
    extra = list(dict.fromkeys(names))
    latent_dim = max(columns["mean"].shape[1] for columns in tables.values())
    latents = [f"{kind}{d}" for kind in ("mean", "logvar") for d in range(latent_dim)]

    def lines() -> Iterator[Sequence[Any]]:
        for modality, columns in tables.items():
            for n, row in enumerate(columns["row"].tolist()):
                cells = [columns[name][n] if name in columns else "" for name in extra]
                values = [*columns["mean"][n].tolist(), *columns["logvar"][n].tolist()]
                numbers = [f"{value:.6g}" for value in values]
                yield [modality, row, *cells, int(columns["label"][n]), *numbers]

    return ["modality", "row", *extra, "label", *latents], lines()


def _as_anndata(columns: Columns) -> Any:
    from anndata import AnnData

    table = AnnData(shape=(len(columns["row"]), 0))
    table.obs_names = [str(row) for row in columns["row"].tolist()]
    for name, values in columns.items():
        if name not in ("mean", "logvar"):
            table.obs[name] = values
    table.obsm["X_latent"] = columns["mean"]
    table.obsm["latent_logvar"] = columns["logvar"]
    return table
