"""Cells of an AnnData file: in memory, or read from disk as they are used."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.contracts import UNKNOWN_LABEL
from mixvae.data.backed import BackedCells, ChunkedOrder
from mixvae.data.cell_base import AbstractCellDataModule, CellTable
from mixvae.data.cell_files import require_scanpy
from mixvae.data.cell_formats import DESCRIBED, IN_PLACE, CellFile
from mixvae.data.cell_matrices import CellMatrix, MatrixOnDisk
from mixvae.data.cell_source import RAW, AnnDataSource, CellSource
from mixvae.data.checks import check_count
from mixvae.data.expression import Normalization
from mixvae.data.genes import ALL, MAX_MISSING, GeneChoice, check_unique
from mixvae.data.preparation import Preparation
from mixvae.data.resident import Resident, TrainLoader
from mixvae.data.sparse import ResidentCells, as_rows

logger = logging.getLogger("mixvae")
BUILT_IN_LABEL = "bulk_labels"


class CellDataModule(AbstractCellDataModule):
    """Cells of a file, or of scanpy's 700 `pbmc68k_reduced` where no file is named.

    x is log-normalised expression. `batch_labels` has the batch of each cell where `batch_key` is
    given; it serves the choice of highly variable genes.

    Args:
        path: The file or folder, see `cell_formats`; None: scanpy's pbmc68k_reduced, real cells
            that come with it.
        layer: Matrix to read: `X`, `raw` or the name of a layer. None: `X`; of the built-in
            cells `raw`, their log-normalised expression.
        counts_layer: Matrix of raw counts, `X`, `raw` or a layer, for likelihoods of counts.
        normalize: `auto` makes log-CPM of counts, of linear expression and of log data that were
            scaled otherwise, if their libraries had one sum; `log_cpm` also if they had none;
            `none` leaves values as they are.
        genes: `all`, a text file with one gene name a line, or a column of booleans of var, such
            as `highly_variable`. Genes that are the same in all cells are left out.
        gene_names: Column of var whose values name the genes, such as `feature_name`; None for
            the index.
        modality: Of a file with several (.h5mu), such as `rna`.
        num_highly_variable: Number of genes to keep, chosen on the training cells.
        max_missing: Largest share of the listed genes that the file may lack, from 0 to 1.
        label_key: Column of obs with the classes, for evaluation only.
        batch_key: Column of obs with the batch of each cell, such as its donor.
        backed: Leave the cells on disk.
        chunk_rows: Neighbouring rows that are read from disk at a time.
        buffer_chunks: Chunks whose rows are shuffled together and held in memory.
        **shared: See `AbstractCellDataModule`.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        layer: str | None = None,
        counts_layer: str | None = None,
        normalize: Normalization = "auto",
        genes: str = ALL,
        gene_names: str | None = None,
        modality: str | None = None,
        num_highly_variable: int | None = None,
        max_missing: float = MAX_MISSING,
        label_key: str | None = None,
        batch_key: str | None = None,
        backed: bool = False,
        chunk_rows: int = 64,
        buffer_chunks: int = 128,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_count("chunk_rows", chunk_rows)
        check_count("buffer_chunks", buffer_chunks)
        if normalize not in ("auto", "log_cpm", "none"):
            raise ValueError(f"normalize is {normalize!r}; it must be auto, log_cpm or none")
        if backed and path is None:
            raise ValueError("backed is true but path is null; name the file that stays on disk")
        self.path = None if path is None else Path(path).expanduser()
        self.file = None if self.path is None else CellFile(self.path, modality, gene_names)
        self.gene_names = gene_names
        self.name = "pbmc68k_reduced" if self.path is None else self.path.stem
        self.layer = layer or (RAW if self.path is None else "X")
        self.label_key = label_key or (BUILT_IN_LABEL if self.path is None else None)
        self.batch_key = batch_key
        self.counts_layer = counts_layer
        self.backed = backed
        self.chunk_rows = chunk_rows
        self.buffer_chunks = buffer_chunks
        self.normalize: Normalization = normalize
        self.batch_labels: list[str | None] | None = None
        self.cell_names: dict[int, str] = {}  # of the cells that are tested, by row
        self._choice = GeneChoice(genes, num_highly_variable, max_missing)

    def read_table(self) -> CellTable:
        """Read names, labels and, unless they stay on disk, the cells."""
        with self._source() as source:
            check_unique(source.cells, "cell")
            label, class_names = self._labels(source)
            if self.batch_key is not None:
                self.batch_labels = _batches(source, self.batch_key)
            parts = self._split(label, class_names)
            tested = parts[self.predict_split].tolist()
            self.cell_names = {row: source.cells[row] for row in tested}
            train = parts["train"].numpy()
            matrix = self._matrix(source, self.layer)
            self._check_scaled(source, matrix)
            fit = (train, self._choose(source), self.normalize, self.target_sum, self.batch_labels)
            preparations = [Preparation.fit(matrix, *fit)]
            matrices = [matrix]
            if self.counts_layer is not None:
                same = self.counts_layer == self.layer
                matrices.append(matrix if same else self._matrix(source, self.counts_layer))
                preparations.append(preparations[0].of_counts(matrices[1], train))
            cells = self._cells(matrices, preparations, torch.from_numpy(label))
            source.check_unchanged()
        return CellTable(cells, label, class_names, preparations[0])

    def train_dataloader(self) -> TrainLoader:
        """Shuffled training batches; of cells on disk, shuffled within buffers of chunks."""
        loader = super().train_dataloader()
        if self.backed:
            rows = loader.sampler.rows
            loader.sampler = ChunkedOrder(rows, self.seed, self.chunk_rows, self.buffer_chunks)
        return loader

    def state_dict(self) -> dict[str, Any]:
        """The preparation in plain types, by which the run annotates other files."""
        return {
            **super().state_dict(),
            "layer": self.layer,
            "counts_layer": self.counts_layer,
            "label_key": self.label_key,
            "batch_key": self.batch_key,
            "gene_names": self.gene_names,
        }

    @contextmanager
    def _source(self) -> Iterator[CellSource]:
        if self.file is None:
            cells = require_scanpy().datasets.pbmc68k_reduced()
            yield AnnDataSource(cells, self.name, self.gene_names)
            return
        if self.backed and self.file.format not in IN_PLACE:
            raise ValueError(
                f"backed is true, but {self.path} is {DESCRIBED[self.file.format]}, which is read"
                " whole; leave backed out, or write it as .h5ad"
            )
        with self.file.open() as source:
            for note in source.notes:
                logger.info("%s: %s", self.path, note)
            try:
                yield source
            except FileNotFoundError:  # another file than this one, such as a gene list
                raise
            except (OSError, KeyError) as error:
                raise ValueError(f"{self.path} is truncated or broken: {error}") from error

    def _matrix(self, source: CellSource, layer: str) -> CellMatrix:
        matrix = source.matrix(layer)
        if not self.backed:
            return matrix.in_memory()
        assert isinstance(matrix, MatrixOnDisk)
        matrix.check_rows()
        return matrix

    def _choose(self, source: CellSource) -> GeneChoice:
        """The choice of genes, with the names that a column of var marks."""
        choice = self._choice
        if choice.genes == ALL or Path(choice.genes).expanduser().is_file():
            return choice
        marked = source.marked_genes(self.layer, choice.genes)
        if marked == []:
            raise ValueError(f"data.genes={choice.genes} marks no gene of {source.name}")
        return choice if marked is None else replace(choice, marked=tuple(marked))

    def _check_scaled(self, source: CellSource, matrix: CellMatrix) -> None:
        """Name the matrices to use in place of one with negative values."""
        better = source.better_than_scaled(matrix.layer)
        if not better:
            return
        told = f"{matrix.name} is scaled; name another matrix: {better}"
        if self.normalize == "log_cpm" or self._choice.num_highly_variable is not None:
            raise ValueError(told)
        logger.warning(told)

    def _labels(self, source: CellSource) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Class of each cell and the names of the classes, in alphabetical order."""
        if self.label_key is None:
            return np.full(len(source.cells), UNKNOWN_LABEL, dtype=np.int64), ()
        words = source.words(self.label_key, "label_key")
        names = tuple(sorted({word for word in words if word is not None}))
        if not names:
            raise ValueError(f"label_key is {self.label_key!r}, but no cell has a value there")
        number: dict[str | None, int] = {name: place for place, name in enumerate(names)}
        label = np.array([number.get(word, UNKNOWN_LABEL) for word in words], dtype=np.int64)
        return label, names

    def _cells(
        self, matrices: list[CellMatrix], preparations: list[Preparation], label: torch.Tensor
    ) -> Resident:
        if self.file is not None and self.backed:
            return BackedCells(self.file, preparations, label, self.chunk_rows, self.buffer_chunks)
        x, *counts = (
            as_rows(preparation.apply(matrix.read(0, matrix.shape[0])))
            for preparation, matrix in zip(preparations, matrices, strict=True)
        )
        return ResidentCells(x, label, counts[0] if counts else None)


def _batches(source: CellSource, column: str) -> list[str | None]:
    batches = source.words(column, "batch_key")
    missing = sum(value is None for value in batches)
    if missing:
        raise ValueError(
            f"batch_key is {column!r}, but {missing} of {len(batches)} cells have no value there"
        )
    return batches
