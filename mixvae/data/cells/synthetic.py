"""Synthetic cells as a data set, in memory or as an .h5ad file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mixvae.data.cells.base import AbstractCellDataModule, CellTable
from mixvae.data.cells.expression import library_sizes, log_cpm, median_library
from mixvae.data.cells.generator import SyntheticCells, generate_cells
from mixvae.data.cells.preparation import Preparation
from mixvae.data.cells.sparse import ResidentCells, as_rows
from mixvae.data.checks import check_seed
from mixvae.data.files.anndata_files import check_free_path, require_anndata
from mixvae.files import replacing

TYPE_COLUMN = "type"
STATE_COLUMN = "state"
COUNTS_LAYER = "counts"


class SyntheticCellsDataModule(AbstractCellDataModule):
    """Cells of known types and states, see `cell_generator`; x is log-CPM, the label is the type.

    `truth` has everything that is known of them, its rows being `Batch.index`.

    Args:
        cells_seed: Seed of the cells; the arguments from `num_cells` to `depth` are those of
            `CellRecipe`.
        counts_layer: `counts` gives raw counts too, for likelihoods of counts.
    """

    def __init__(
        self,
        *,
        cells_seed: int = 0,
        num_cells: int = 5000,
        num_genes: int = 500,
        num_types: int = 10,
        num_states: int = 1,
        marker_strength: float = 1.4,
        programme_strength: float = 1.6,
        activity_strength: float = 0.7,
        num_activities: int = 4,
        dropout: float = 0.3,
        depth: float = 20.0,
        counts_layer: Literal["counts"] | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_seed(cells_seed)
        if counts_layer not in (None, COUNTS_LAYER):
            raise ValueError(
                f"counts_layer is {counts_layer!r}; it must be {COUNTS_LAYER}, or null for none"
            )
        self.counts_layer = counts_layer
        self._generator: dict[str, Any] = {
            "seed": cells_seed,
            "num_cells": num_cells,
            "num_genes": num_genes,
            "num_types": num_types,
            "num_states": num_states,
            "marker_strength": marker_strength,
            "programme_strength": programme_strength,
            "activity_strength": activity_strength,
            "num_activities": num_activities,
            "dropout": dropout,
            "depth": depth,
        }

    @cached_property
    def truth(self) -> SyntheticCells:
        """The cells with everything that is known of them; drawn at the first call."""
        return generate_cells(**self._generator)

    def read_table(self) -> CellTable:
        """Draw the cells and normalise their counts."""
        truth, total = self.truth, self.target_sum
        if total == "median":
            total = median_library(library_sizes(truth.counts), self.name)
        return CellTable(
            cells=ResidentCells(
                x=as_rows(log_cpm(truth.counts, target_sum=total)),
                label=torch.from_numpy(truth.type),
                counts=None if self.counts_layer is None else as_rows(truth.counts),
            ),
            label=truth.type,
            class_names=truth.type_names,
            preparation=Preparation(truth.gene_names, "counts", "log_cpm", total),
        )


def to_anndata(cells: SyntheticCells, target_sum: float = 1e6) -> Any:
    """Make an AnnData object of the file contract, with the truth in it.

    Returns:
        `X` log-CPM; layer `counts`; obs `type`, `state0`, `state1`, ..., `library`; var `marker`
        and `programme`, the types, comma-separated, of which a gene is a marker or which move it.
    """
    anndata = require_anndata()
    import pandas  # comes with anndata

    obs = pandas.DataFrame(
        {
            TYPE_COLUMN: pandas.Categorical.from_codes(cells.type, list(cells.type_names)),
            **{f"{STATE_COLUMN}{s}": cells.state[:, s] for s in range(cells.state.shape[1])},
            "library": cells.library,
        },
        index=list(cells.cell_names),
    )
    members = {"marker": cells.design.markers, "programme": cells.programme_genes}
    var = pandas.DataFrame(
        {name: _types_of_genes(cells, columns) for name, columns in members.items()},
        index=list(cells.gene_names),
    )
    return anndata.AnnData(
        X=log_cpm(cells.counts, target_sum=target_sum),
        obs=obs,
        var=var,
        layers={COUNTS_LAYER: cells.counts},
    )


def write_cells(cells: SyntheticCells, path: Path, overwrite: bool = False) -> None:
    """Write synthetic cells as an .h5ad file, see `to_anndata`."""
    check_free_path(path, overwrite)
    with replacing(path) as temporary:
        to_anndata(cells).write_h5ad(temporary)


def simulate_cells(
    out: str,
    num_cells: int = 5000,
    num_genes: int = 500,
    num_types: int = 10,
    num_states: int = 1,
    marker_strength: float = 1.4,
    seed: int = 0,
    overwrite: bool = False,
) -> str:
    """Write synthetic cells of known types and states as an .h5ad file, see `CellRecipe`.

    At a `marker_strength` of 1.4 sister types overlap; at 3 all types are distinct. `overwrite`
    replaces an existing file.
    """
    check_free_path(Path(out), overwrite)
    require_anndata()
    sizes = (num_cells, num_genes, num_types, num_states)
    cells = generate_cells(*sizes, seed, marker_strength=marker_strength)
    write_cells(cells, Path(out), overwrite)
    return (
        f"wrote {out}: {num_cells} cells of {num_types} types, {num_genes} genes; log-CPM in X,"
        f" counts in layer {COUNTS_LAYER}, the truth in obs and var"
    )


def _types_of_genes(cells: SyntheticCells, columns: tuple[np.ndarray, ...]) -> list[str]:
    types: list[list[str]] = [[] for _ in cells.gene_names]
    for name, genes in zip(cells.type_names, columns, strict=True):
        for gene in genes:
            types[gene].append(name)
    return [",".join(names) for names in types]
