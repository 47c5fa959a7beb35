"""Cells of an AnnData file: in memory, or read from disk as they are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixvae.contracts import UNKNOWN_LABEL
from mixvae.data.backed import BackedCells, ChunkedOrder
from mixvae.data.cell_base import AbstractCellDataModule, CellTable
from mixvae.data.cell_files import require_scanpy
from mixvae.data.cell_matrices import CellMatrix, MatrixOnDisk
from mixvae.data.cell_source import RAW, AnnDataSource, CellSource, H5adSource
from mixvae.data.checks import check_count
from mixvae.data.covariates import CellCovariates
from mixvae.data.expression import Normalization
from mixvae.data.genes import ALL, MAX_MISSING, GeneChoice, check_unique
from mixvae.data.preparation import Preparation
from mixvae.data.resident import Resident, TrainLoader
from mixvae.data.sparse import ResidentCells, as_rows
from mixvae.messages import warn

BUILT_IN_LABEL = "bulk_labels"


class CellDataModule(AbstractCellDataModule):
    """Cells of an .h5ad file, or of scanpy's 700 `pbmc68k_reduced` where no file is named.

    x is log-normalised expression. `batch_labels` has the batch of each cell where `batch_key` is
    given; it serves the choice of highly variable genes, and is a covariate of the model.

    Args:
        path: The .h5ad file; None: scanpy's pbmc68k_reduced, real cells that come with it.
        layer: Matrix to read: `X`, `raw` or the name of a layer. None: `X`; of the built-in
            cells `raw`, their log-normalised expression.
        counts_layer: Matrix of raw counts, `X`, `raw` or a layer, for likelihoods of counts.
        normalize: `log_cpm` makes log-CPM, also of log data that were scaled otherwise; `none`
            leaves values as they are; `auto` makes log-CPM of counts and of linear expression,
            and leaves log data as they are.
        genes: `all`, or a text file with one gene name a line. Of `all`, genes that are the
            same in all cells are left out.
        num_highly_variable: Number of genes to keep, chosen on the training cells.
        max_missing: Largest share of the listed genes that the file may lack, from 0 to 1.
        label_key: Column of obs with the classes, for evaluation only.
        batch_key: Column of obs with the batch of each cell, such as its donor, whose effect models
            with covariates take out.
        covariates: Further columns of obs that their decoder is given: numbers, or classes.
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
        num_highly_variable: int | None = None,
        max_missing: float = MAX_MISSING,
        label_key: str | None = None,
        batch_key: str | None = None,
        covariates: Sequence[str] = (),
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
        self.name = "pbmc68k_reduced" if self.path is None else self.path.stem
        self.layer = layer or (RAW if self.path is None else "X")
        self.label_key = label_key or (BUILT_IN_LABEL if self.path is None else None)
        self.batch_key = batch_key
        self.covariates = tuple(covariates)
        if batch_key is not None and batch_key == self.label_key:
            warn(
                f"batch_key and label_key are both {batch_key!r}: what tells the classes apart is"
                " taken out as an effect of the batch"
            )
        self.counts_layer = counts_layer
        self.backed = backed
        self.chunk_rows = chunk_rows
        self.buffer_chunks = buffer_chunks
        self.normalize: Normalization = normalize
        self.batch_labels: list[str | None] | None = None
        self._choice = GeneChoice(genes, num_highly_variable, max_missing)

    def read_table(self) -> CellTable:
        """Read names, labels and, unless they stay on disk, the cells."""
        with self._source() as source:
            check_unique(source.cells, "cell")
            label, class_names = self._labels(source)
            train = self._split(label, class_names)["train"].numpy()
            keys = self.batch_key, self.covariates
            covariates, values = CellCovariates.fit(source, *keys, train)
            if self.batch_key is not None:
                self.batch_labels = source.words(self.batch_key, "batch_key")
            matrix = self._matrix(source, self.layer)
            fit = (train, self._choice, self.normalize, self.target_sum, self.batch_labels)
            preparations = [Preparation.fit(matrix, *fit)]
            matrices = [matrix]
            if self.counts_layer is not None:
                same = self.counts_layer == self.layer
                matrices.append(matrix if same else self._matrix(source, self.counts_layer))
                preparations.append(preparations[0].of_counts(matrices[1], train))
            beside = None if values is None else torch.from_numpy(values)
            cells = self._cells(matrices, preparations, torch.from_numpy(label), beside)
        return CellTable(cells, label, class_names, preparations[0], covariates)

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
        }

    @contextmanager
    def _source(self) -> Iterator[CellSource]:
        if self.path is None:
            yield AnnDataSource(require_scanpy().datasets.pbmc68k_reduced(), self.name)
            return
        with H5adSource(self.path) as source:
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
        self,
        matrices: list[CellMatrix],
        preparations: list[Preparation],
        label: Tensor,
        covariates: Tensor | None,
    ) -> Resident:
        if self.path is not None and self.backed:
            sizes = self.chunk_rows, self.buffer_chunks
            return BackedCells(self.path, preparations, label, *sizes, covariates)
        x, *counts = (
            as_rows(preparation.apply(matrix.read(0, matrix.shape[0])))
            for preparation, matrix in zip(preparations, matrices, strict=True)
        )
        return ResidentCells(x, label, counts[0] if counts else None, covariates)
