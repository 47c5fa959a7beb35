"""One way from the cells of a file to the input of a model: its genes, in its unit.

`Preparation.fit` learns it on a run's training cells, `adapt` fits it to another file, and `apply`
prepares any rows: all cells in memory, a chunk read from disk, or cells to annotate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from mixvae.data.base import find_state
from mixvae.data.cells.expression import (
    MEANING,
    SAME_SCALE,
    Applied,
    Kind,
    Matrix,
    Normalization,
    TargetSum,
    check_counts,
    check_expression,
    check_of_kind,
    library_sizes,
    normalised,
    to_apply,
)
from mixvae.data.cells.genes import (
    GeneChoice,
    GeneColumns,
    find_genes,
    highly_variable,
    shown,
    warn_of_cells,
    warn_of_left_out,
)
from mixvae.data.cells.log_scales import are_expected_counts, median_sum
from mixvae.data.cells.matrices import CellMatrix, Contents, MatrixInMemory
from mixvae.data.files.gene_names import without_versions
from mixvae.messages import inform, warn

COUNTED: tuple[Kind, ...] = ("counts", "linear")  # log-CPM can be made of these


@dataclass(frozen=True)
class Preparation:
    """How cells become the input of a model.

    Attributes:
        target_sum: Sum of each library after scaling; None without scaling.
        columns: Where the genes stand in it; None until it is fitted to a file.
        library: Genes whose sum is a cell's library, where files were joined by them; empty for all
            genes of a file.
    """

    genes: tuple[str, ...]
    kind: Kind
    applied: Applied
    target_sum: float | None
    layer: str | None = None
    columns: GeneColumns | None = field(default=None, compare=False, repr=False)
    rounded: bool = field(default=False, compare=False)
    library: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def fit(
        cls,
        matrix: CellMatrix,
        rows: NDArray[np.int64],
        choice: GeneChoice,
        normalize: Normalization,
        target_sum: TargetSum,
        batch: Sequence[str | None] | None = None,
    ) -> Preparation:
        """Look through a matrix, and choose genes and a normalisation.

        Args:
            rows: Training cells, on which highly variable genes are chosen. A matrix on disk is
                known by about 20,000 of its cells, see `CellMatrix.sampled`.
            target_sum: `median` takes that of the training cells, see `log_scales.median_sum`.
            batch: Batch of each cell, shape (N,), or None.
        """
        on_disk = not isinstance(matrix, MatrixInMemory)
        seen, rows = matrix.sampled(rows)
        found = _look_through(seen)
        if target_sum == "median":
            target_sum = median_sum(seen.whole, rows, found.kind, matrix.name)
        applied = to_apply(found.kind, normalize, matrix.name, found.scale, target_sum)
        total = target_sum if applied == "log_cpm" else None
        columns = choice.candidates(matrix.genes, found.varies)
        fitted = cls((), found.kind, applied, total, matrix.layer, GeneColumns(columns))
        if choice.num_highly_variable is not None and choice.num_highly_variable < len(columns):
            if fitted.unit != "log":
                raise ValueError(
                    "num_highly_variable needs log-normalised expression, but this is"
                    f" {found.kind}; use normalize=auto on raw counts, a gene list, or"
                    " data.num_highly_variable=null for all genes"
                )
            x = fitted.apply(seen.whole[rows])
            kept = highly_variable(
                sparse.csr_matrix(x) if on_disk else x,
                choice.num_highly_variable,
                None if batch is None else [str(batch[row]) for row in rows.tolist()],
            )
            columns = columns[kept]
        genes = tuple(matrix.genes[column] for column in columns)
        return replace(fitted, genes=genes, columns=GeneColumns(columns))

    def of_counts(self, matrix: CellMatrix, rows: NDArray[np.int64]) -> Preparation:
        """The same genes as raw counts of another matrix of the same cells.

        Args:
            matrix: Raw counts of all cells; it must have all of the genes.
            rows: Training cells, whose counts in left-out genes are warned of.
        """
        missing = sorted(set(self.genes) - set(matrix.genes))
        if missing:
            raise ValueError(
                f"{matrix.name} lacks {len(missing)} of the {len(self.genes)} genes of"
                f" {self.layer}: {shown(missing)}; name another data.counts_layer, or choose genes"
                " of both by data.genes"
            )
        columns = find_genes(matrix.genes, self.genes, max_missing=0.0)
        counted = Preparation(self.genes, "counts", "none", None, matrix.layer, columns)
        seen, rows = matrix.sampled(rows)
        counts = counted.apply(seen.whole)
        expected = are_expected_counts(counts, seen.whole, matrix.name)
        (check_expression if expected else check_counts)(counts, matrix.name)
        libraries = library_sizes(counts[rows]), library_sizes(seen.whole[rows])
        warn_of_left_out(len(self.genes), *libraries)
        if expected:
            told = "holds expected counts that are not whole; likelihoods see them rounded"
            warn(f"{matrix.name} {told}")
        return replace(counted, rounded=expected)

    def adapt(
        self, matrix: CellMatrix, max_missing: float, target_sum: float | None = None
    ) -> Preparation:
        """Fit a run's preparation to the cells of another file.

        Raw counts are normalised by libraries over all genes of the file. Log data whose libraries
        were scaled to another sum than the run's are rescaled. Genes that the file lacks become 0.

        Args:
            max_missing: Share of the run's genes that the file may lack.
            target_sum: Sum of each library after scaling; None takes the run's.
        """
        found = _look_through(matrix.sampled(np.arange(matrix.shape[0]))[0])
        columns = find_genes(matrix.genes, self.genes, max_missing)
        total = self.target_sum if target_sum is None else target_sum
        return Preparation(
            genes=self.genes,
            kind=found.kind,
            applied=self._to_apply(found, matrix.name, total),
            target_sum=total,
            layer=matrix.layer,
            columns=columns,
        )

    def apply(self, matrix: Matrix) -> Matrix:
        """Prepare any rows of the file, all of its genes: shape (N, G'), dense or CSR, to (N, G).

        Raw counts and linear expression are divided by the row's sum over all genes of the file.
        """
        assert self.columns is not None, "fit or adapt comes first"
        taken = self.columns.take(normalised(matrix, self.kind, self.applied, self.target_sum))
        if not self.rounded:
            return taken
        return taken.rint() if sparse.issparse(taken) else np.rint(taken)

    def batches(self, matrix: CellMatrix, batch_size: int) -> Iterator[Tensor]:
        """Prepare all cells of a matrix in their order, as dense batches (B, G), float32."""
        num_cells = matrix.shape[0]
        for start in range(0, num_cells, batch_size):
            read = matrix.read(start, min(start + batch_size, num_cells))
            check_of_kind(read, self.kind, matrix.name)
            part = self.apply(read)
            dense = part.toarray() if sparse.issparse(part) else part
            # A copy, since a tensor may not share memory that is read only.
            yield torch.from_numpy(np.array(dense, dtype=np.float32))

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the genes that the file lacks."""
        return () if self.columns is None else self.columns.missing

    @property
    def unit(self) -> Kind:
        """Kind of the model's input."""
        return "log" if self.applied == "log_cpm" else self.kind

    @property
    def described(self) -> str:
        """The unit in words; log data may come from anywhere, so their scale is unknown."""
        if self.unit == "log" and self.target_sum is not None:
            return f"log of counts scaled to {self.target_sum:g}"
        return f"{self.kind} as it came"

    def as_plain(self) -> dict[str, Any]:
        """Plain values, as a checkpoint may hold."""
        return {
            "genes": list(self.genes),
            "kind": self.kind,
            "normalize": self.applied,
            "target_sum": self.target_sum,
            **({"library_genes": list(self.library)} if self.library else {}),
        }

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Preparation:
        """Take back `as_plain` out of the state of a data module, which may have a `layer`."""
        applied = state["normalize"]
        return cls(
            genes=tuple(without_versions(state["genes"])),
            kind=state["kind"],
            applied=applied,
            target_sum=state.get("target_sum") if applied == "log_cpm" else None,
            layer=state.get("layer"),
            library=tuple(state.get("library_genes", ())),
        )

    @classmethod
    def find(cls, checkpoint: Mapping[str, Any]) -> Preparation | None:
        """Find it in a checkpoint as Lightning writes it; None in one of other data."""
        state = find_state(checkpoint, ("genes", "kind", "normalize"))
        return None if state is None else cls.from_plain(state)

    def _to_apply(self, found: Contents, name: str, target_sum: float | None) -> Applied:
        """Choose the normalisation of expression of another file."""
        told = f"{name} holds {MEANING[found.kind]}"
        if self.unit == "log" and found.kind in COUNTED:
            if target_sum is None:
                raise ValueError(
                    f"{told}, but the run was trained on log data as they came, so their scale is"
                    " unknown; name the sum of each library after scaling, such as target_sum=1e4"
                )
            inform(f"{told}; log(1 + {target_sum:g} x / library) is made of it")
            return "log_cpm"
        if self.unit == found.kind == "log":
            return self._rescale(found.scale, name, target_sum)
        if self.unit != found.kind and not (self.unit in COUNTED and found.kind in COUNTED):
            raise ValueError(
                f"{told}, but the run was trained on {MEANING[self.unit]}; name the layer that has"
                " them: data.layer=NAME"
            )
        return "none"

    def _rescale(self, scale: float | None, name: str, target_sum: float | None) -> Applied:
        """Decide whether log data were scaled to another sum than the run's."""
        if target_sum is None:
            return "none"
        if scale is None and self.applied == "log_cpm" and self.kind == "log":
            return "log_cpm"
        if scale is None:
            warn(
                f"the libraries of {name} have no sum in common, as after genes were left out; they"
                f" are taken to have been scaled to {target_sum:g} per cell, as the run's were. If"
                " they were not, name the layer of raw counts: data.layer=NAME"
            )
        elif abs(scale / target_sum - 1) > SAME_SCALE:
            told = f"{name} was scaled to {scale:g} per cell before the log"
            inform(f"{told}; it is rescaled to the run's {target_sum:g}")
            return "log_cpm"
        return "none"


def _look_through(matrix: MatrixInMemory) -> Contents:
    found = matrix.look_through()
    if found.kind != "scaled":
        warn_of_cells(matrix.whole, matrix.genes, matrix.name)
    return found
