"""Cells in memory, CSR or dense: the rows of a batch become dense when it is cut.

On the CPU scipy cuts a batch, several times faster than torch's operations do (250 of 20,000 rows
of 2,000 genes, a tenth of them stored: .2 and .9 ms). On another device the matrix lies there dense
where it fits easily, and no batch crosses the bus or makes the CPU wait; or else as three tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from mixvae.contracts import Batch
from mixvae.data.cells.expression import Matrix, canonical
from mixvae.data.resident import Resident

# Share of a device's free memory that dense rows may take.
MOST_OF_DEVICE = 0.25
_CHUNK = 4096  # rows that are dense on the host at a time


@dataclass(frozen=True)
class SparseRows:
    """A CSR matrix in the memory of the host, shape (N, D), float32."""

    matrix: sparse.csr_matrix

    def dense(self, rows: Tensor) -> Tensor:
        """Return these rows, shape (B,), int64, as a dense tensor (B, D), float32."""
        return torch.from_numpy(self.matrix[rows.numpy()].toarray())

    def to(self, device: torch.device) -> Rows:
        """Return the same rows on `device`: dense where it has room for some times as much."""
        if device.type == "cpu":
            return self
        if 4 * math.prod(self.matrix.shape) <= MOST_OF_DEVICE * _free_bytes(device):
            return DenseRows(_dense_on(self.matrix, device))
        return DeviceSparseRows(
            starts=torch.from_numpy(self.matrix.indptr.astype(np.int64)).to(device),
            columns=torch.from_numpy(self.matrix.indices).to(device),
            values=torch.from_numpy(self.matrix.data).to(device),
            num_columns=self.matrix.shape[1],
        )


@dataclass(frozen=True)
class DeviceSparseRows:
    """A CSR matrix of N rows and D columns, as tensors on any device."""

    starts: Tensor  # of each row in the other two, shape (N + 1,), int64
    columns: Tensor  # of each stored value, int32 or int64; no column twice in a row
    values: Tensor  # float32
    num_columns: int

    def dense(self, rows: Tensor) -> Tensor:
        """Return these rows, shape (B,), int64, as a dense tensor (B, D), float32."""
        first = self.starts[rows]
        lengths = self.starts[rows + 1] - first
        ends = lengths.cumsum(0)
        total = int(ends[-1]) if len(rows) else 0
        # position in the matrix = position in the batch + shift of the row between the two
        shift = torch.repeat_interleave(first - (ends - lengths), lengths, output_size=total)
        positions = torch.arange(total, device=rows.device) + shift
        row = torch.repeat_interleave(
            torch.arange(len(rows), device=rows.device) * self.num_columns,
            lengths,
            output_size=total,
        )
        dense = self.values.new_zeros(len(rows) * self.num_columns)
        dense[row + self.columns[positions]] = self.values[positions]
        return dense.view(len(rows), self.num_columns)

    def to(self, device: torch.device) -> Rows:
        """Return the same rows on `device`."""
        parts = (self.starts, self.columns, self.values)
        starts, columns, values = (part.to(device) for part in parts)
        return DeviceSparseRows(starts, columns, values, self.num_columns)


@dataclass(frozen=True)
class DenseRows:
    """A dense matrix, shape (N, D), float32."""

    values: Tensor

    def dense(self, rows: Tensor) -> Tensor:
        """Return these rows, shape (B,), int64, as a tensor (B, D), float32."""
        return self.values.index_select(0, rows)

    def to(self, device: torch.device) -> Rows:
        """Return the same rows on `device`."""
        return DenseRows(self.values.to(device))


Rows = SparseRows | DeviceSparseRows | DenseRows
"""N rows of D columns."""


def _free_bytes(device: torch.device) -> int:
    """Free memory of a device; 0 where it is unknown."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def _dense_on(matrix: sparse.csr_matrix, device: torch.device) -> Tensor:
    """A CSR matrix as a dense tensor (N, D) on a device, never whole on the host."""
    dense = torch.empty(matrix.shape, dtype=torch.float32, device=device)
    for start in range(0, matrix.shape[0], _CHUNK):
        rows = matrix[start : start + _CHUNK]
        dense[start : start + _CHUNK] = torch.from_numpy(rows.toarray()).to(device)
    return dense


def as_rows(matrix: Matrix) -> Rows:
    """Keep a numpy array or CSR matrix, shape (N, D), in memory in its form, as float32."""
    if not sparse.issparse(matrix):
        return DenseRows(torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32)))
    return SparseRows(canonical(matrix).astype(np.float32, copy=False))


@dataclass(frozen=True)
class ResidentCells(Resident):
    """Cells in memory: prepared expression and, where a run needs them, raw counts.

    Attributes:
        x: Expression as the model sees it, N rows of D genes.
        label: Labels, shape (N,), int64.
        counts: Raw counts of the same cells and genes, or None.
        covariates: See `Batch.covariates`, shape (N, V), or None.
    """

    x: Rows
    label: Tensor
    counts: Rows | None = None
    covariates: Tensor | None = None

    def batch(self, rows: Tensor) -> Batch:
        """Cut the batch of these rows, (B,), as (B, D); its `index` is the row number itself."""
        return Batch(
            x=self.x.dense(rows),
            label=self.label.index_select(0, rows),
            index=rows,
            counts=None if self.counts is None else self.counts.dense(rows),
            covariates=None if self.covariates is None else self.covariates.index_select(0, rows),
        )

    def to(self, device: torch.device) -> ResidentCells:
        """Return the same cells on `device`."""
        counts = None if self.counts is None else self.counts.to(device)
        covariates = None if self.covariates is None else self.covariates.to(device)
        return ResidentCells(self.x.to(device), self.label.to(device), counts, covariates)
