"""Cells that stay on disk: rows are read by chunks, and shuffled across the chunks of a buffer.

A file is fast to read by ranges of rows and slow by single rows. So each epoch takes the chunks of
neighbouring rows in a random order, `buffer_chunks` of them at a time, and shuffles the rows of
those together. Files are often sorted by type or donor: a buffer of many chunks from all over the
file mixes them. The order is a function of (seed, epoch), and a run resumes at batch k without
reading the batches before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import copy
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from mixvae.contracts import Batch
from mixvae.data.cell_files import check_unchanged, state_of
from mixvae.data.cell_formats import CellFile
from mixvae.data.cell_matrices import CellMatrix
from mixvae.data.cell_source import CellSource, X
from mixvae.data.expression import Matrix
from mixvae.data.preparation import Preparation
from mixvae.data.resident import EpochOrder, Resident

# The first batch of a buffer reads its chunks, for as long as some steps take.
AHEAD = 16


class BackedCells(Resident):
    """Cells of an .h5ad file, read when a batch asks for them.

    The chunks of the last batches stay in memory, prepared and in the file's own form, dense or
    CSR: no more than `buffer_chunks` of them.

    Args:
        preparations: How x is prepared and, where a run needs them, raw counts.
        label: Labels, shape (N,), int64.
        chunk_rows: Neighbouring rows that are read at a time.
        covariates: See `Batch.covariates`, shape (N, V), or None.
    """

    def __init__(
        self,
        file: CellFile,
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
        self._file = file
        self._state = state_of(file.path)
        self._preparations = tuple(preparations)
        self._source: CellSource | None = None
        self._chunks: OrderedDict[int, list[Matrix]] = OrderedDict()
        self._matrices: list[CellMatrix] = []
        self._lock = Lock()

    @property
    def ahead(self) -> int:  # type: ignore[override]
        """Batches that a thread reads ahead; on a GPU none, as it may not disturb a recording."""
        return AHEAD if self.label.device.type == "cpu" else 0

    def batch(self, rows: Tensor) -> Batch:
        """Read the batch of these rows, (B,), as (B, D); its `index` is the row number itself."""

        def read(chunk: int, within: NDArray[np.int64]) -> list[Matrix]:
            return [matrix[within] for matrix in self._chunk(chunk)]

        with self._lock:
            return self._cut(rows, read)

    def sample(self, rows: Tensor) -> Batch:
        """Read the batch of these rows without the rest of their chunks, and keep nothing."""

        def read(chunk: int, within: NDArray[np.int64]) -> list[Matrix]:
            first, last, start = int(within.min()), int(within.max()), chunk * self.chunk_rows
            matrices = self._read(start + first, start + last + 1)
            return [matrix[within - first] for matrix in matrices]

        with self._lock:
            return self._cut(rows, read)

    def _cut(self, rows: Tensor, read: Callable[[int, NDArray[np.int64]], list[Matrix]]) -> Batch:
        wanted = rows.cpu().numpy()
        number = wanted // self.chunk_rows
        # those at hand first: they may make room for the others
        order = sorted(np.unique(number).tolist(), key=lambda chunk: chunk not in self._chunks)
        dense: list[Tensor] = []
        for chunk in order:
            places = np.flatnonzero(number == chunk)
            for kept, part in enumerate(read(chunk, wanted[places] - chunk * self.chunk_rows)):
                if kept == len(dense):
                    dense.append(torch.empty(len(rows), part.shape[1]))
                part = part.toarray() if sparse.issparse(part) else part
                dense[kept][torch.from_numpy(places)] = torch.from_numpy(part)
        x, *counts = (values.to(rows.device) for values in dense)
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
        state = {**self.__dict__, "_source": None, "_chunks": OrderedDict(), "_matrices": []}
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin with no file open."""
        self.__dict__.update(state, _lock=Lock())

    def _chunk(self, number: int) -> list[Matrix]:
        if number in self._chunks:
            self._chunks.move_to_end(number)
            return self._chunks[number]
        while len(self._chunks) >= self.buffer_chunks:
            self._chunks.popitem(last=False)
        start = number * self.chunk_rows
        read = self._read(start, min(start + self.chunk_rows, len(self.label)))
        self._chunks[number] = read
        return read

    def _read(self, start: int, stop: int) -> list[Matrix]:
        """Read and prepare the rows from `start` to before `stop`."""
        if self._source is None:
            self._source = self._file.open()
            self._matrices = [self._source.matrix(how.layer or X) for how in self._preparations]
        check_unchanged(self._file.path, self._state)
        both = zip(self._preparations, self._matrices, strict=True)
        return [preparation.apply(matrix.read(start, stop)) for preparation, matrix in both]


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
