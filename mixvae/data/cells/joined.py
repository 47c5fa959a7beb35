"""Several files as one: cells one below the other, by the genes that all files have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from mixvae.data.cells.expression import MEANING, SAME_SCALE, Kind, Matrix
from mixvae.data.cells.genes import GeneColumns, find_genes, shown
from mixvae.data.cells.log_scales import LINEAR, common_scale
from mixvae.data.cells.matrices import CellMatrix, MatrixInMemory, stacked
from mixvae.data.cells.source import CellSource
from mixvae.data.files.anndata_files import short_names
from mixvae.data.files.gene_names import distinct

FEWEST_SHARED = 11  # genes: files that differ by all but ten do not belong together
COMPARED = 1000  # cells of each file, by which their kinds are compared


class JoinedMatrix(CellMatrix):
    """Matrices one below the other, of each only the columns of some genes.

    Attributes:
        dropped: Other genes, which some of them have.
    """

    def __init__(
        self, parts: Sequence[CellMatrix], genes: Sequence[str], layer: str, name: str
    ) -> None:
        self.parts, self.layer, self.name, self.genes = tuple(parts), layer, name, tuple(genes)
        self._columns: list[GeneColumns] = [
            find_genes(part.genes, genes, max_missing=0.0) for part in parts
        ]
        self.dropped = len({gene for part in parts for gene in part.genes}.difference(genes))
        self._first = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape = (int(self._first[-1]), len(self.genes))
        stored = [part.num_stored for part in parts]
        if any(number is not None for number in stored):
            self.num_stored = sum(
                part.shape[0] * part.shape[1] if number is None else number
                for part, number in zip(parts, stored, strict=True)
            )

    def read_spans(self, spans: Sequence[range]) -> Matrix:
        """Read the rows of these ranges, of each file those that follow one another at once."""
        runs: list[tuple[int, list[range]]] = []
        for span in spans:
            start = span.start
            while start < span.stop:
                number = int(np.searchsorted(self._first, start, side="right")) - 1
                first, end = int(self._first[number]), int(self._first[number + 1])
                own = range(start - first, min(span.stop, end) - first)
                if runs and runs[-1][0] == number:
                    runs[-1][1].append(own)
                else:
                    runs.append((number, [own]))
                start = min(span.stop, end)
        return stacked([self._columns[n].take(self.parts[n].read_spans(own)) for n, own in runs])

    def in_memory(self) -> MatrixInMemory:
        """Read all by blocks into one matrix, so that no file is in memory beside it."""
        if self.num_stored is None:
            whole: Matrix = np.empty(self.shape, dtype=np.float32)
            row = 0
            for block in self.blocks():
                whole[row : (row := row + len(block))] = block
        else:
            # memory that is not written to is not taken
            values = np.empty(self.num_stored, dtype=np.float32)
            indices = np.empty(self.num_stored, dtype=np.int32)
            lengths, end = [], 0
            for block in map(sparse.csr_matrix, self.blocks()):
                place = slice(end, end := end + block.nnz)
                values[place], indices[place] = block.data, block.indices
                lengths.append(np.diff(block.indptr))
            starts = np.concatenate([[0], *lengths]).cumsum()
            whole = sparse.csr_matrix((values[:end], indices[:end], starts), shape=self.shape)
        return MatrixInMemory(whole, self.genes, self.layer, self.name)


class JoinedSource(CellSource):
    """The cells of several sources; closes them at the end.

    A name that two files have for a cell has its file's added. A column of obs that a file lacks is
    unknown in its cells. Genes are those that all files have.
    """

    def __init__(self, sources: Sequence[CellSource]) -> None:
        self.sources = tuple(sources)
        self.name = f"{len(sources)} files ({shown([source.name for source in sources])})"
        self.short = short_names([Path(source.name) for source in sources])
        self.file = self.name
        self.layers = tuple(
            layer
            for layer in sources[0].layers
            if all(layer in source.layers for source in sources)
        )
        self.columns = tuple(dict.fromkeys(c for source in sources for c in source.columns))
        self.notes = tuple(f"{source.name}: {n}" for source in sources for n in source.notes)

    @cached_property
    def files(self) -> list[str]:
        """Short name of the file of each cell."""
        both = zip(self.short, self.sources, strict=True)
        return [file for file, source in both for _ in range(source.num_cells)]

    @cached_property
    def cells(self) -> list[str]:  # type: ignore[override]
        """Names of the cells."""
        return distinct([cell for source in self.sources for cell in source.cells], self.files)

    @property
    def num_cells(self) -> int:
        """Number of the cells."""
        return sum(source.num_cells for source in self.sources)

    def close(self) -> None:
        """Close all files."""
        for source in self.sources:
            source.close()

    def matrix(self, layer: str) -> CellMatrix:
        """A matrix of all files by name, of one kind in all."""
        parts = [source.matrix(layer) for source in self.sources]
        genes = self._shared([part.genes for part in parts])
        _check_alike(parts)
        return JoinedMatrix(parts, genes, parts[0].layer, f"{parts[0].layer} of {self.name}")

    def _shared(self, genes: Sequence[Sequence[str]]) -> list[str]:
        """The genes that all files have, in the order of the first."""
        common = set(genes[0]).intersection(*genes[1:])
        if len(common) < min(FEWEST_SHARED, *map(len, genes)):
            both = zip(self.short, genes, strict=True)
            sizes = ", ".join(f"{file} has {len(own)}, such as {own[0]}" for file, own in both)
            raise ValueError(
                f"the files have {len(common)} genes in common ({sizes}): are some named by"
                " symbols and some by identifiers? Name the column of var that all have:"
                " data.gene_names=COLUMN, or rename the genes of one file"
            )
        return [gene for gene in genes[0] if gene in common]

    def kind_of(self, layer: str) -> Kind:
        """Kind of a matrix: scaled if it is so in any file."""
        kinds = [source.kind_of(source.find(layer) or layer) for source in self.sources]
        return "scaled" if "scaled" in kinds else kinds[0]

    def marked_genes(self, layer: str, column: str) -> list[str] | None:
        """Genes that are marked in any of the files."""
        marked = [source.marked_genes(layer, column) for source in self.sources]
        if all(own is None for own in marked):
            return None
        everywhere = set.intersection(
            *(set(source.genes(source.find(layer) or layer)) for source in self.sources)
        )
        names = dict.fromkeys(name for own in marked for name in own or ())
        return [name for name in names if name in everywhere]

    def _column(self, column: str) -> Any:
        parts = [
            np.asarray(source.column(column))
            if source.has(column)
            else np.full(source.num_cells, None)
            for source in self.sources
        ]
        if all(part.dtype.kind in "iuf" for part in parts):
            return np.concatenate(parts)
        return np.concatenate([part.astype(object) for part in parts])

    def _index(self, layer: str) -> list[str]:
        return self._shared([source.genes(layer) for source in self.sources])

    def _var_columns(self, layer: str) -> tuple[str, ...]:
        return self.sources[0]._var_columns(layer)

    def _var_column(self, layer: str, column: str) -> Any:
        raise AssertionError("each file has genes of its own")

    def _matrix(self, layer: str, genes: list[str], name: str) -> CellMatrix:
        raise AssertionError("see `matrix`")


def _check_alike(parts: Sequence[CellMatrix]) -> None:
    """Refuse matrices of unlike kinds, or log data that were scaled to unlike sums."""
    first = [
        MatrixInMemory(p.read(0, min(COMPARED, p.shape[0])), p.genes, "", p.name) for p in parts
    ]
    seen = [part.look_through() for part in first]
    kinds = [
        "counts" if one.kind == "linear" and common_scale(part.whole, LINEAR) is None else one.kind
        for one, part in zip(seen, first, strict=True)
    ]
    for part, kind, one in zip(parts, kinds, seen, strict=True):
        if kind != kinds[0]:
            raise ValueError(
                f"{parts[0].name} holds {MEANING[seen[0].kind]}, but {part.name} holds"
                f" {MEANING[one.kind]}; name a matrix that is alike in all files: data.layer=NAME"
            )
        own, other = seen[0].scale, one.scale
        if own and other and abs(other / own - 1) > SAME_SCALE:
            raise ValueError(
                f"before the log {parts[0].name} was scaled to {own:g} per cell, but {part.name}"
                f" to {other:g}; name the raw counts: data.layer=NAME"
            )


def select(matrix: CellMatrix, genes: Sequence[str]) -> CellMatrix:
    """The matrix with only those of the genes that it has."""
    own = set(matrix.genes)
    return JoinedMatrix([matrix], [g for g in genes if g in own], matrix.layer, matrix.name)
