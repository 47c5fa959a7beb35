"""Other cells prepared as a run's own were: what `annotate` gives to a trained model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixvae.data.expression import MEANING, Kind, Matrix, check_expression, kind_of, log_cpm
from mixvae.data.genes import MAX_MISSING, check_unique, find_genes

_logger = logging.getLogger("mixvae")


class Prepared(NamedTuple):
    """Cells as a trained model expects them.

    Attributes:
        x: Expression of the run's genes in their order, shape (N, G), float32, CSR where it was.
        missing: Genes of the run that the cells lack; their columns are 0.
        kind: What the cells were before.
    """

    x: Matrix
    missing: tuple[str, ...]
    kind: Kind


def prepare_like(
    matrix: Matrix,
    gene_names: Sequence[str],
    state: Mapping[str, Any],
    max_missing: float = MAX_MISSING,
    name: str = "X",
) -> Prepared:
    """Normalise cells as a run did, and align their genes by name.

    Counts become log-CPM with the run's target sum, over all genes of the file; log data are taken
    as they are. A gene that the file lacks counts as not expressed.

    Args:
        matrix: Expression of all genes of the file, shape (N, G'), dense or CSR.
        gene_names: Names of its genes, length G'.
        state: What the run's data module wrote into the checkpoint: `genes`, `kind`, `normalize`
            and `target_sum`, see `cell_base.AbstractCellDataModule.state_dict`.
        max_missing: Largest share of the run's genes that may be missing.
        name: What to call the matrix in a message.

    Returns:
        The prepared cells.

    Raises:
        ValueError: If the cells are of a kind that the run cannot be given, hold NaN or infinite
            values, or lack too many genes.
    """
    check_expression(matrix, name)
    check_unique(gene_names, "gene")
    found = find_genes(gene_names, state["genes"], max_missing)
    kind = kind_of(matrix)
    if _needs_log_cpm(kind, state, name):
        matrix = log_cpm(matrix, target_sum=state["target_sum"])
    return Prepared(found.take(matrix).astype(np.float32, copy=False), found.missing, kind)


def _needs_log_cpm(kind: Kind, state: Mapping[str, Any], name: str) -> bool:
    """Whether log-CPM is to be made; refuse cells that differ in kind from those of the run."""
    linear = kind in ("counts", "linear")
    if state["normalize"] == "log_cpm":
        expected: Kind = "log"
    else:
        expected = state["kind"]
    if kind == expected:
        if state["normalize"] == "log_cpm":
            _logger.warning(
                "%s holds %s already; the run was trained on log(1 + x) at %g counts a cell,"
                " and other units would mislead it",
                name,
                MEANING[kind],
                state["target_sum"],
            )
        return False
    if expected == "log" and linear:
        return True
    raise ValueError(
        f"{name} holds {MEANING[kind]}, but the run was trained on {MEANING[expected]};"
        " name a layer that holds such values"
    )
