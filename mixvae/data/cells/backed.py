"""Cells that stay on disk: rows are read by chunks, and shuffled across the chunks of a buffer.

A file is fast to read by ranges of rows and slow by single rows. So each epoch takes the chunks of
neighbouring rows in a random order, `buffer_chunks` of them at a time, and shuffles the rows of
those together. Files are often sorted by type or donor: a buffer of many chunks from all over the
file mixes them. The order is a function of (seed, epoch), and a run resumes at batch k without
reading the batches before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from mixvae.contracts import Batch
from mixvae.data.cells.expression import Matrix, check_of_kind
from mixvae.data.cells.matrices import CellMatrix
from mixvae.data.cells.paths import CellPaths
from mixvae.data.cells.preparation import Preparation
from mixvae.data.cells.source import CellSource, X
from mixvae.data.resident import EpochOrder, Resident

# The first batch of a buffer reads its chunks, for as long as some steps take.
AHEAD = 16
# Rows so near each other are read in one go: a further range costs as much as some rows.
NEAR = 8


class BackedCells(Resident):
    """Cells of .h5ad files, read when a batch asks for them.

    The chunks of the last batches stay in memory, prepared and in the file's own form, dense or
    CSR: no more than `buffer_chunks` of them.

    Args:
        preparations: How x is prepared and, where a run needs them, raw counts.
        label: Labels, shape (N,), int64.
        covariates: See `Batch.covariates`, shape (N, V), or None.
    """

    def __init__(
        self,
        files: CellPaths,
        preparations: Sequence[Preparation],
        label: Tensor,
        chunk_rows: int,
        buffer_chunks: int,
        covariates: Tensor | None = None,
    ) -> None:
        self.label = label
        self.covariates = covariates
        self.chunk_rows = chunk_rows
        self.buffer_chunks = buffer_chunks
        self._files = files
        self._state = files.state
        self._preparations = tuple(preparations)
        self._source: CellSource | None = None
        self._forget()
        self._matrices: list[CellMatrix] = []
        self._lock = Lock()

    @property
    def ahead(self) -> int:  # type: ignore[override]
        """Batches that a thread reads ahead; on a GPU none, as it may not disturb a recording."""
        return AHEAD if self.label.device.type == "cpu" else 0

    def batch(self, rows: Tensor) -> Batch:
        """Read the batch of these rows, (B,), as (B, D); its `index` is the row number itself."""
        wanted = rows.cpu().numpy()
        number = wanted // self.chunk_rows
        dense = _Dense(len(rows))
        with self._lock:
            block = self._block[number]
            # from those at hand first: they may make room for the others
            self._take(dense, wanted, block)
            left = np.unique(number[block < 0])
            for start in range(0, len(left), self.buffer_chunks):
                chunks = left[start : start + self.buffer_chunks]
                self._keep(chunks)
                new = np.isin(number, chunks)
                self._take(dense, wanted, np.where(new, self._block[number], -1))
        return self._batch(rows, dense)

    def sample(self, rows: Tensor) -> Batch:
        """Read the batch of these rows without the rest of their chunks, and keep nothing."""
        wanted = rows.cpu().numpy()
        order = np.unique(wanted)
        gaps = np.flatnonzero(np.diff(order) > NEAR) + 1
        parts = np.split(order, gaps)
        spans = [range(int(part[0]), int(part[-1]) + 1) for part in parts]
        first = np.cumsum([0, *map(len, spans)])
        part = np.searchsorted([span.start for span in spans], wanted, side="right") - 1
        within = first[part] + wanted - np.array([span.start for span in spans])[part]
        dense = _Dense(len(rows))
        with self._lock:
            dense.put(np.arange(len(rows)), [matrix[within] for matrix in self._read(spans)])
        return self._batch(rows, dense)

    def _take(self, dense: _Dense, wanted: NDArray[np.int64], block: NDArray[np.int64]) -> None:
        """Put rows where they stand in the batch; `block` is that of each, -1 to leave it out."""
        for key in np.unique(block[block >= 0]).tolist():
            places = np.flatnonzero(block == key)
            chunk, within = np.divmod(wanted[places], self.chunk_rows)
            at = self._first[chunk] + within
            dense.put(places, [matrix[at] for matrix in self._blocks[key]])

    def _batch(self, rows: Tensor, dense: _Dense) -> Batch:
        x, *counts = (values.to(rows.device) for values in dense.values)
        return Batch(
            x=x,
            label=self.label.index_select(0, rows),
            index=rows,
            counts=counts[0] if counts else None,
            covariates=None if self.covariates is None else self.covariates.index_select(0, rows),
        )

    def to(self, device: torch.device) -> BackedCells:
        """Return the same cells, whose batches are then copied to `device`."""
        moved = copy(self)
        moved.label = self.label.to(device)
        moved.covariates = None if self.covariates is None else self.covariates.to(device)
        return moved

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open file and the chunks in memory."""
        state = {**self.__dict__, "_source": None, "_blocks": {}, "_matrices": []}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin with no file open."""
        self.__dict__.update(state, _lock=Lock())
        self._forget()

    def _forget(self) -> None:
        """Begin with no chunk in memory."""
        # chunks that were read together, by number: scipy takes as long for one row as for many
        self._blocks: dict[int, list[Matrix]] = {}
        self._number = 0
        chunks = -(-len(self.label) // self.chunk_rows)
        # of each chunk its block, -1 for none, and its first row there
        self._block = np.full(chunks, -1)
        self._first = np.zeros(chunks, dtype=np.int64)

    def _keep(self, chunks: NDArray[np.int64]) -> None:
        """Read chunks into a block, in place of the oldest ones."""
        while self._blocks and (self._block >= 0).sum() + len(chunks) > self.buffer_chunks:
            oldest = next(iter(self._blocks))
            del self._blocks[oldest]
            self._block[self._block == oldest] = -1
        starts = (chunks * self.chunk_rows).tolist()
        spans = [range(start, min(start + self.chunk_rows, len(self.label))) for start in starts]
        matrices = self._read(spans)
        self._first[chunks] = np.cumsum([0, *map(len, spans)])[:-1]
        self._block[chunks] = self._number
        self._blocks[self._number] = matrices
        self._number += 1

    def _read(self, spans: list[range]) -> list[Matrix]:
        """Read and prepare the rows of these ranges, one below the other."""
        if self._source is None:
            self._source = self._files.open()
            self._matrices = [self._source.matrix(how.layer or X) for how in self._preparations]
        self._files.check_unchanged(self._state)
        found = []
        for preparation, matrix in zip(self._preparations, self._matrices, strict=True):
            read = matrix.read_spans(spans)
            check_of_kind(read, "linear" if preparation.rounded else preparation.kind, matrix.name)
            found.append(preparation.apply(read))
        return found


class _Dense:
    """Batches of dense rows that are filled part by part, one for each preparation."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values: list[Tensor] = []

    def put(self, places: NDArray[np.int64], parts: list[Matrix]) -> None:
        """Put rows, dense or CSR, at these places."""
        for number, part in enumerate(parts):
            rows = torch.from_numpy(part.toarray() if sparse.issparse(part) else part)
            if number == len(self.values):
                self.values.append(torch.empty(self.size, rows.shape[1]))
            self.values[number][torch.from_numpy(places)] = rows


class ChunkedOrder(EpochOrder):
    """A permutation of rows that goes through a file by buffers of chunks."""

    def __init__(self, rows: Tensor, seed: int, chunk_rows: int, buffer_chunks: int) -> None:
        super().__init__(rows, seed)
        self.chunk_rows = chunk_rows
        self.buffer_chunks = buffer_chunks

    def permuted(self) -> Tensor:
        """Return the rows in the order of the present epoch, shape (N,)."""
        random = np.random.default_rng([self.seed, self.epoch])
        rows = self.rows.numpy()
        chunks = rows // self.chunk_rows
        place = np.empty(chunks.max() + 1, dtype=np.int64)
        place[:] = random.permutation(len(place))
        buffers = place[chunks] // self.buffer_chunks
        mixed = random.permutation(len(rows))
        # a stable sort by buffer keeps the random order within each
        return torch.from_numpy(rows[mixed[np.argsort(buffers[mixed], kind="stable")]])
