"""Cells of any file, made into what a run's model takes: the same genes, prepared the same way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from mixvae.data.cell_files import require_anndata
from mixvae.data.expression import (
    MEANING,
    SAME_SCALE,
    Applied,
    Kind,
    Matrix,
    check_expression,
    common_scale,
    kind_of,
    library_sizes,
    log_cpm,
)
from mixvae.data.genes import find_genes

logger = logging.getLogger("mixvae")
COUNTED: tuple[Kind, ...] = ("counts", "linear")  # what log-CPM can be made of


@dataclass(frozen=True)
class Preparation:
    """How the cells of a run were prepared.

    Attributes:
        genes: Names of the genes that the model takes, in their order.
        kind: What the expression was before.
        applied: What was done to it.
        target_sum: What libraries were scaled to; None where they were taken as they came.
        layer: The layer that was read; None for X.
    """

    genes: tuple[str, ...]
    kind: Kind
    applied: Applied
    target_sum: float | None
    layer: str | None = None

    @property
    def unit(self) -> Kind:
        """What the model takes."""
        return "log" if self.applied == "log_cpm" else self.kind

    @property
    def rescaled(self) -> bool:
        """Whether it was log data, scaled to another sum than they came with."""
        return self.applied == "log_cpm" and self.kind == "log"


def find_preparation(checkpoint: Mapping[str, Any]) -> Preparation | None:
    """Find in a checkpoint how its cells were prepared, whichever data module they came from.

    Args:
        checkpoint: A checkpoint as Lightning writes it.

    Returns:
        The preparation; None for a run of something else than cells.
    """
    for state in checkpoint.values():
        if isinstance(state, Mapping) and {"genes", "kind", "normalize"} <= state.keys():
            applied = state["normalize"]
            return Preparation(
                genes=tuple(state["genes"]),
                kind=state["kind"],
                applied=applied,
                target_sum=state.get("target_sum") if applied == "log_cpm" else None,
                layer=state.get("layer"),
            )
    return None


def read_cells(path: Path) -> Any:
    """Read an AnnData file into memory; sparse stays sparse.

    Args:
        path: An .h5ad file.

    Returns:
        The AnnData object.

    Raises:
        ImportError: If anndata is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, no AnnData file, or a truncated one.
    """
    anndata = require_anndata()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name an .h5ad file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return anndata.read_h5ad(path)
    # Of a file that is none of its own, anndata's reader may fail in any way.
    except Exception as error:
        raise ValueError(
            f"{path} is no AnnData file (.h5ad), or a damaged or truncated one: {error}"
        ) from error


class PreparedCells:
    """N cells of a file as a run's model takes them; batches become dense when they are cut.

    Raw counts are normalised as in the run, by libraries over all genes of the file. Log data whose
    libraries were scaled to another sum than the run's are rescaled. Genes that the file lacks
    count as not expressed: they are 0.

    Args:
        matrix: Expression, shape (N, all genes of the file), dense or sparse.
        names: Names of its columns.
        preparation: How the run's cells were prepared.
        max_missing: Share of the run's genes that the file may lack.
        target_sum: What to scale libraries to, where the run does not say.
        source: What to call the matrix in a message.

    Raises:
        ValueError: If too many genes are missing, a value is not finite, or what the model takes
            cannot be made of values of this kind.
    """

    def __init__(
        self,
        matrix: Matrix,
        names: Sequence[str],
        preparation: Preparation,
        max_missing: float,
        target_sum: float | None = None,
        source: str = "X",
    ) -> None:
        check_expression(matrix, source)
        self.genes = find_genes(names, preparation.genes, max_missing)
        self.matrix = sparse.csr_matrix(matrix) if sparse.issparse(matrix) else matrix
        self.kind = kind_of(self.matrix)
        self.target_sum = preparation.target_sum if target_sum is None else target_sum
        self._takes_log, self._undoes_log = False, False
        self._decide(preparation, source)

    def _decide(self, preparation: Preparation, source: str) -> None:
        """Decide what to do with expression of this kind."""
        unit = preparation.unit
        found = f"{source} holds {MEANING[self.kind]}"
        if unit == "log" and self.kind in COUNTED:
            if self.target_sum is None:
                raise ValueError(
                    f"{found}, but the run was trained on log data as they came, so it does not"
                    " know their scale; say what libraries were scaled to, such as target_sum=1e4"
                )
            self._takes_log = True
            logger.info("%s; log(1 + %g x / library) is made of it", found, self.target_sum)
        elif unit == self.kind == "log":
            self._compare_scale(source, preparation.rescaled)
        elif unit != self.kind and not (unit in COUNTED and self.kind in COUNTED):
            raise ValueError(
                f"{found}, but the run was trained on {MEANING[unit]}; name the layer that has"
                " them: data.layer=NAME"
            )

    def _compare_scale(self, source: str, rescaled: bool) -> None:
        """Find out whether log data were scaled to another sum than the run's."""
        if self.target_sum is None:
            return
        scale = common_scale(self.matrix)
        if scale is None and rescaled:
            self._takes_log = self._undoes_log = True
        elif scale is None:
            logger.warning(
                "the libraries of %s have no sum in common, as after genes were left out; they are"
                " taken to have been scaled to %g per cell, as the run's were. If they were not,"
                " name the layer of raw counts: data.layer=NAME",
                source,
                self.target_sum,
            )
        if scale is not None and abs(scale / self.target_sum - 1) > SAME_SCALE:
            self._takes_log = self._undoes_log = True
            logger.warning(
                "%s was scaled to %g per cell before the log, the run's cells to %g:"
                " it is rescaled",
                source,
                scale,
                self.target_sum,
            )

    def __len__(self) -> int:
        """Return the number of cells N."""
        return int(self.matrix.shape[0])

    def batches(self, batch_size: int) -> Iterator[Tensor]:
        """Yield the cells in their order, shape (B, G), float32."""
        for start in range(0, len(self), batch_size):
            part = self.matrix[start : start + batch_size]
            if self._undoes_log:
                part = np.expm1(part)
            if self._takes_log:
                assert self.target_sum is not None
                part = log_cpm(part, library_sizes(part), self.target_sum)
            part = self.genes.take(part)
            dense = part.toarray() if sparse.issparse(part) else part
            # A copy, since a tensor may not share memory that is read only.
            yield torch.from_numpy(np.array(dense, dtype=np.float32))
