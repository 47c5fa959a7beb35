"""What is kept of a file of cells: which genes, and how they are normalised."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixvae.data.cell_matrices import AbstractMatrix
from mixvae.data.cell_source import AbstractCellSource
from mixvae.data.checks import check_count
from mixvae.data.expression import (
    Applied,
    Kind,
    Matrix,
    Normalization,
    check_counts,
    check_expression,
    common_scale,
    extent_of,
    library_sizes,
    normalised,
    to_apply,
)
from mixvae.data.genes import (
    GeneColumns,
    check_unique,
    find_genes,
    gene_range,
    highly_variable,
    read_gene_list,
    shown,
    warn_of_left_out,
)

ALL = "all"
MOST_FITTED = 20_000  # cells on disk that highly variable genes are chosen on
VALUES_AT_ONCE = 20_000_000  # of cells on disk, looked at together
_logger = logging.getLogger("mixvae")

Genes = tuple[str, ...]


@dataclass(frozen=True)
class CellChoice:
    """Cells as a run uses them.

    Attributes:
        genes: Names of the genes, length G.
        kind: What the expression was before it was prepared.
        applied: What is done to it.
        columns: Where the genes stand in the matrix that is read.
        counts_columns: Where they stand in the matrix of counts, if there is one.
        x: Prepared expression, shape (N, G); None where cells stay on disk.
        counts: Raw counts, shape (N, G), where there are and cells do not stay on disk.
    """

    genes: Genes
    kind: Kind
    applied: Applied
    columns: GeneColumns
    counts_columns: GeneColumns | None
    x: Matrix | None = None
    counts: Matrix | None = None


@dataclass(frozen=True)
class _Found:
    """What a matrix holds: kind, which genes vary, shape (G',), `common_scale` of log data."""

    kind: Kind
    varies: NDArray[np.bool_]
    scale: float | None


@dataclass(frozen=True)
class Choosing:
    """The settings of a choice; see `cells.CellDataModule`."""

    layer: str
    counts_layer: str | None
    normalize: Normalization
    target_sum: float
    genes: str
    num_highly_variable: int | None
    max_missing: float

    def __post_init__(self) -> None:
        """Refuse settings that no file could satisfy."""
        if self.normalize not in ("auto", "log_cpm", "none"):
            raise ValueError(f"normalize is {self.normalize!r}; it must be auto, log_cpm or none")
        if self.num_highly_variable is not None:
            check_count("num_highly_variable", self.num_highly_variable)
        if not 0 <= self.max_missing <= 1:
            raise ValueError(f"max_missing is {self.max_missing!r}; it must lie between 0 and 1")

    def in_memory(
        self,
        source: AbstractCellSource,
        train: NDArray[np.int64],
        batch: Sequence[str | None] | None,
    ) -> CellChoice:
        """Read the cells, and choose and prepare genes.

        Args:
            source: Where from.
            train: Rows of the training cells, on which highly variable genes are chosen.
            batch: Batch of each cell, or None.

        Returns:
            The choice with its matrices.

        Raises:
            ValueError: If the file does not hold what is asked for.
        """
        names, stored, title = self._open(source, self.layer)
        matrix = stored.read(0, stored.shape[0])
        check_expression(matrix, title)
        low, high = gene_range(matrix)
        kind = extent_of(matrix).kind
        found = _Found(kind, low < high, common_scale(matrix) if kind == "log" else None)
        applied = to_apply(kind, self.normalize, title, found.scale, self.target_sum)
        columns = self._candidates(names, found)
        x = columns.take(normalised(matrix, kind, applied, self.target_sum))
        if self.num_highly_variable is not None:
            self._check_varying(found, applied)
            kept = self._varying(x[train], batch, train)
            columns, x = GeneColumns(columns.columns[kept], ()), x[:, kept]
        genes = tuple(names[column] for column in columns.columns)
        counts_columns, counts = None, None
        if self.counts_layer is not None:
            where, counted, title = self._open(source, self.counts_layer)
            counts_columns = self._counted(where, genes, title)
            same = self.counts_layer == self.layer
            total = matrix if same else counted.read(0, counted.shape[0])
            counts = counts_columns.take(total)
            check_counts(counts, title)
            warn_of_left_out(len(genes), library_sizes(counts[train]), library_sizes(total[train]))
        return CellChoice(genes, found.kind, applied, columns, counts_columns, x, counts)

    def on_disk(
        self,
        source: AbstractCellSource,
        train: NDArray[np.int64],
        batch: Sequence[str | None] | None,
    ) -> CellChoice:
        """Look through the cells once, and choose genes; at most 20,000 cells are read for that.

        Args:
            source: Where from.
            train: Rows of the training cells, on which highly variable genes are chosen.
            batch: Batch of each cell, or None.

        Returns:
            The choice without its matrices.

        Raises:
            ValueError: If the file does not hold what is asked for.
        """
        names, stored, title = self._open(source, self.layer)
        if getattr(stored, "kind", "") == "csc_matrix":
            raise ValueError(
                f"{title} is stored by columns (CSC), which cannot be read by rows: write it as"
                " CSR, adata.X = adata.X.tocsr(), or use backed=false"
            )
        found = _look_through(stored, title)
        applied = to_apply(found.kind, self.normalize, title, found.scale, self.target_sum)
        columns = self._candidates(names, found)
        if self.num_highly_variable is not None:
            self._check_varying(found, applied)
            if len(train) > MOST_FITTED:
                drawn = np.random.default_rng(0).choice(len(train), MOST_FITTED, replace=False)
                train = train[np.sort(drawn)]
            parts = []
            for rows, part in _parts(stored):
                part = part[_within(rows, train)]
                part = normalised(part, found.kind, applied, self.target_sum)
                parts.append(columns.take(part))
            stack = sparse.vstack if sparse.issparse(parts[0]) else np.concatenate
            kept = self._varying(sparse.csr_matrix(stack(parts)), batch, train)
            columns = GeneColumns(columns.columns[kept], ())
        genes = tuple(names[column] for column in columns.columns)
        counts_columns = None
        if self.counts_layer is not None:
            where, counted, title = self._open(source, self.counts_layer)
            counts_columns = self._counted(where, genes, title)
            libraries = []
            for rows, part in _parts(counted):
                counts = counts_columns.take(part)
                check_counts(counts, title)
                own = _within(rows, train)
                libraries.append([library_sizes(counts[own]), library_sizes(part[own])])
            warn_of_left_out(len(genes), *map(np.concatenate, zip(*libraries, strict=True)))
        return CellChoice(genes, found.kind, applied, columns, counts_columns)

    def _counted(self, names: Genes, genes: Genes, title: str) -> GeneColumns:
        """Columns of the chosen genes in the matrix of counts, which must have them all."""
        missing = sorted(set(genes) - set(names))
        if missing:
            raise ValueError(
                f"{title} lacks {len(missing)} of the {len(genes)} genes of {self.layer}:"
                f" {shown(missing)}; name another data.counts_layer, or choose genes of both by"
                " data.genes"
            )
        return find_genes(names, genes, max_missing=0.0)

    def _open(self, source: AbstractCellSource, layer: str) -> tuple[Genes, AbstractMatrix, str]:
        """Names of the genes, the matrix, and what to call it."""
        names, stored = source.genes(layer), source.matrix(layer)
        title = f"{layer} of {source.name}"
        if 0 in stored.shape:
            raise ValueError(f"{title} has no cells or no genes; its shape is {stored.shape}")
        check_unique(names, "gene")
        return names, stored, title

    def _candidates(self, names: Genes, found: _Found) -> GeneColumns:
        """Genes of the list, or all; a gene that is the same in all cells tells nothing."""
        varies = found.varies
        if self.genes == ALL:
            columns = np.arange(len(names))
        else:
            listed = read_gene_list(Path(self.genes).expanduser())
            columns = find_genes(names, listed, self.max_missing, "left out").columns
            columns = columns[columns >= 0]
        constant = [names[column] for column in columns if not varies[column]]
        if len(constant) == len(columns):
            raise ValueError(
                f"each of the {len(columns)} genes is the same in all cells; there is nothing to"
                " learn: is this the right layer?"
            )
        if constant:
            _logger.warning(
                "%d genes are the same in all cells and left out: %s",
                len(constant),
                shown(constant),
            )
        return GeneColumns(columns[varies[columns]].astype(np.int64), ())

    def _check_varying(self, found: _Found, applied: Applied) -> None:
        if applied == "none" and found.kind != "log":
            raise ValueError(
                "num_highly_variable needs log-normalised expression, but this is"
                f" {found.kind}; use normalize=auto on raw counts, or a gene list"
            )

    def _varying(
        self, x: Matrix, batch: Sequence[str | None] | None, train: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        assert self.num_highly_variable is not None
        batches = None if batch is None else [str(batch[row]) for row in train]
        kept = highly_variable(x, self.num_highly_variable, batches)
        _logger.info(
            "%d highly variable genes were chosen on %d training cells%s",
            len(kept),
            len(train),
            "" if batches is None else f", in each of {len(set(batches))} batches",
        )
        return kept


def _look_through(stored: AbstractMatrix, title: str) -> _Found:
    """Check every value of a matrix on disk, and say what it holds."""
    extent: Any = None
    scale: float | None = None
    low = np.full(stored.shape[1], np.inf)
    high = -low
    for _, part in _parts(stored):
        check_expression(part, title)
        present = extent_of(part)
        if extent is None and present.kind == "log":
            scale = common_scale(part)
        extent = present if extent is None else extent.joined(present)
        least, most = gene_range(part)
        np.minimum(low, least, out=low)
        np.maximum(high, most, out=high)
    return _Found(extent.kind, low < high, scale)


def _within(rows: range, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of the chosen rows lie in a range, counted from its start."""
    return chosen[(chosen >= rows.start) & (chosen < rows.stop)] - rows.start


def _parts(stored: AbstractMatrix) -> Iterator[tuple[range, Matrix]]:
    """Read a matrix by ranges of rows that fit into memory."""
    num_rows = max(1, VALUES_AT_ONCE // stored.shape[1])
    for start in range(0, stored.shape[0], num_rows):
        rows = range(start, min(start + num_rows, stored.shape[0]))
        yield rows, stored.read(rows.start, rows.stop)
