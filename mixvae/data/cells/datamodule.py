"""Cells of an AnnData file: in memory, or read from disk as they are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixvae.contracts import UNKNOWN_LABEL
from mixvae.data.cells.backed import BackedCells, ChunkedOrder
from mixvae.data.cells.base import AbstractCellDataModule, CellTable
from mixvae.data.cells.expression import Normalization
from mixvae.data.cells.genes import ALL, MAX_MISSING, GeneChoice, check_unique
from mixvae.data.cells.joined import JoinedMatrix, select
from mixvae.data.cells.matrices import CellMatrix, MatrixOnDisk
from mixvae.data.cells.paths import CellPaths, check_object, in_order_of, label_words_of
from mixvae.data.cells.preparation import Preparation
from mixvae.data.cells.source import RAW, CellSource
from mixvae.data.cells.sparse import ResidentCells, as_rows
from mixvae.data.checks import check_count
from mixvae.data.files.given import as_labels, is_given
from mixvae.data.resident import Resident, TrainLoader
from mixvae.messages import inform, warn

BUILT_IN_LABEL = "bulk_labels"


class CellDataModule(AbstractCellDataModule):
    """Cells of a file, or of scanpy's 700 `pbmc68k_reduced` where no file is named.

    x is log-normalised expression. `batch_labels` has the batch of each cell where `batch_key` is
    given; it serves the choice of highly variable genes, and is a covariate of the model.

    Args:
        path: The file or folder, see `cell_formats`, or several, whose cells are joined by the
            genes that all have; None: scanpy's pbmc68k_reduced, real cells that come with it.
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
        batch_key: Column of obs with the batch of each cell, such as its donor, whose effect models
            with covariates take out; `file` for the file that a cell is from.
        covariates: Further columns of obs that their decoder is given: numbers, or classes.
        backed: Leave the cells on disk.
        chunk_rows: Neighbouring rows that are read from disk at a time.
        buffer_chunks: Chunks whose rows are shuffled together and held in memory.
    """

    def __init__(
        self,
        *,
        path: str | Sequence[str] | None = None,
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
        covariates: str | Sequence[str] = (),
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
        paths = [path] if isinstance(path, str) else list(path or ())
        if path is not None and not all(paths or [""]):
            raise ValueError("data.path is empty; name a file, or null for built-in cells")
        if backed and any(map(is_given, paths)):
            raise ValueError("backed is true, but the AnnData object is in memory; name its file")
        if backed and path is None:
            raise ValueError("backed is true but path is null; name the file that stays on disk")
        self.path = path
        self.files = CellPaths(tuple(paths), modality, gene_names)
        self.gene_names = gene_names
        self.name = self.files.name
        self.layer = layer or ("X" if paths else RAW)
        self.label_key = label_key or (None if paths else BUILT_IN_LABEL)
        self.batch_key = batch_key
        self.covariates = (covariates,) if isinstance(covariates, str) else tuple(covariates)
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
        self.cell_names: dict[int, str] = {}  # of the cells that are tested, by row
        self._choice = GeneChoice(genes, num_highly_variable, max_missing)

    @classmethod
    def take(cls, data: Any, labels: Any) -> dict[str, Any]:
        """Take an AnnData object or a file, or a list of them; labels are a column of obs.

        Of one AnnData object they may also be one for each cell.
        """
        several = isinstance(data, list | tuple)
        given = [str(one) if isinstance(one, Path) else one for one in data] if several else [data]
        for one in given:
            if not isinstance(one, str):
                check_object(one, cls.__name__)
        settings: dict[str, Any] = {"path": given if several else data}
        if isinstance(labels, str):
            settings["label_key"] = labels
        elif labels is not None:
            if several or isinstance(data, str):
                raise ValueError("labels of files are named by their column of obs, labels='type'")
            settings["label_key"] = as_labels(in_order_of(data, labels), data.n_obs, "labels")
        return settings

    def read_table(self) -> CellTable:
        """Read names, labels and, unless they stay on disk, the cells."""
        with self._source() as source:
            check_unique(source.cells, "cell")
            label, class_names = self._labels(source)
            if self.batch_key is not None:
                self.batch_labels = source.words(self.batch_key, "batch_key")
            parts = self._split(label, class_names)
            tested = parts[self.predict_split].tolist()
            self.cell_names = {row: source.cells[row] for row in tested}
            train = parts["train"].numpy()
            keys = self.batch_key, self.covariates
            covariates, values = self.find_covariates(source, *keys, train)
            matrix = self._matrix(source, self.layer)
            library = self._tell_dropped(matrix)
            matrix = matrix if self.backed else matrix.in_memory()
            self._check_scaled(source, matrix)
            preparations = [self._prepare(source, matrix, train)]
            self._tell_counts(source, preparations[0])
            matrices = [matrix]
            if self.counts_layer is not None:
                same = self.counts_layer == self.layer
                counted = matrix if same else self._matrix(source, self.counts_layer)
                matrices.append(counted if self.backed else counted.in_memory())
                preparations.append(preparations[0].of_counts(matrices[1], train))
            beside = None if values is None else torch.from_numpy(values)
            cells = self._cells(matrices, preparations, torch.from_numpy(label), beside)
        prepared = replace(preparations[0], library=library)
        return CellTable(cells, label, class_names, prepared, covariates)

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
        if self.backed:
            self.files.check_in_place()
        with self.files.open() as source:
            state = self.files.state
            for note in source.notes:
                inform(f"{source.name}: {note}")
            try:
                yield source
            except FileNotFoundError:  # another file than this one, such as a gene list
                raise
            except (OSError, KeyError) as error:
                raise ValueError(f"{source.name} is truncated or broken: {error}") from error
            self.files.check_unchanged(state)

    def _tell_dropped(self, matrix: CellMatrix) -> tuple[str, ...]:
        """The genes that make the libraries of joined files, where others were dropped."""
        if not isinstance(matrix, JoinedMatrix) or not matrix.dropped:
            return ()
        warn(
            f"{len(matrix.genes)} genes are in all files; {matrix.dropped} others are dropped, and"
            " libraries are sums over those that are kept"
        )
        return matrix.genes

    def _matrix(self, source: CellSource, layer: str) -> CellMatrix:
        matrix = source.matrix(layer)
        for part in matrix.parts if isinstance(matrix, JoinedMatrix) else [matrix]:
            if self.backed and isinstance(part, MatrixOnDisk):
                part.check_rows()
        run = self.run_preparation
        return select(matrix, run.library) if run is not None and run.library else matrix

    def _prepare(
        self, source: CellSource, matrix: CellMatrix, rows: NDArray[np.int64]
    ) -> Preparation:
        """Learn genes and unit on the training cells, or take a trained run's."""
        if self.run_preparation is not None:
            return self.run_preparation.adapt(matrix, self._choice.max_missing)
        how = (self._choose(source), self.normalize, self.target_sum, self.batch_labels)
        return Preparation.fit(matrix, rows, *how)

    def _choose(self, source: CellSource) -> GeneChoice:
        """The choice of genes, with the names that a column of var marks."""
        choice = self._choice
        if choice.genes == ALL or Path(choice.genes).expanduser().is_file():
            return choice
        marked = source.marked_genes(self.layer, choice.genes)
        if marked is None:
            there = ", ".join(source.gene_columns(self.layer)) or "none"
            told = f"data.genes is {choice.genes!r}, but there is no such file of gene names, one"
            raise FileNotFoundError(f"{told} a line, nor such a column of var; it has {there}")
        if not marked:
            raise ValueError(f"data.genes={choice.genes} marks no gene of {source.name}")
        return replace(choice, marked=tuple(marked))

    def _check_scaled(self, source: CellSource, matrix: CellMatrix) -> None:
        """Name the matrices to use in place of one with negative values."""
        if not (better := source.better_than_scaled(matrix.layer)):
            return
        told = f"{matrix.name} is scaled; name another matrix: {better}"
        if self.normalize == "log_cpm" or self._choice.num_highly_variable is not None:
            raise ValueError(told)
        warn(told)

    def _tell_counts(self, source: CellSource, made: Preparation) -> None:
        """Name a matrix of raw counts, where log data are left as they came."""
        if made.kind != "log" or made.applied != "none" or self.normalize != "auto":
            return
        counts = [name for name in source.layers if source.kind_of(name) == "counts"]
        if counts:
            told = f"{made.layer} is left in its log unit; for that of counts"
            inform(f"{told}: data.layer={counts[0]}")

    def _labels(self, source: CellSource) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Class of each cell and the names of the classes, in alphabetical order."""
        if self.label_key is None:
            return np.full(len(source.cells), UNKNOWN_LABEL, dtype=np.int64), ()
        import pandas

        words = np.array(label_words_of(source, self.label_key), dtype=object)
        label, names = pandas.factorize(words, sort=True)
        if not len(names):
            raise ValueError(f"label_key is {self.label_key!r}, but no cell has a value there")
        if len(names) == 1:
            warn(f"label_key is {self.label_key!r}, whose only value is {names[0]!r}: no accuracy")
        if 2 * len(names) > (cells := int((label >= 0).sum())) > 1:
            raise ValueError(
                f"label_key is {self.label_key!r}, but {cells} cells have {len(names)} values"
                f" there, such as {names[0]!r}; name a column of classes"
            )
        return label.astype(np.int64), tuple(names.tolist())

    def _cells(
        self,
        matrices: list[CellMatrix],
        preparations: list[Preparation],
        label: Tensor,
        covariates: Tensor | None,
    ) -> Resident:
        if self.backed:
            sizes = self.chunk_rows, self.buffer_chunks
            return BackedCells(self.files, preparations, label, *sizes, covariates)
        x, *counts = (
            as_rows(preparation.apply(matrix.read(0, matrix.shape[0])))
            for preparation, matrix in zip(preparations, matrices, strict=True)
        )
        return ResidentCells(x, label, counts[0] if counts else None, covariates)
