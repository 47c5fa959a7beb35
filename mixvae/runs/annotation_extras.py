"""What an annotation holds on request: decoded profiles, of cells or of categories, likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mixvae.cli.run_requests import Extra
from mixvae.contracts import MixturePosterior
from mixvae.data.cells.matrices import CellMatrix
from mixvae.data.cells.preparation import COUNTED, Preparation
from mixvae.modules.mixture import AbstractMixture
from mixvae.objectives.relaxation import most_probable

DECODED = "X_mixvae_decoded"
Rows = Callable[[str, int], Any]
"""Makes a matrix of all cells by name and number of columns, whose rows are then set in order."""


class Extras:
    """Collects what was asked for, batch by batch: only `decoded` grows with the cells and genes.

    Args:
        shape: Numbers N of all cells and G of the run's genes.
        rows: Where decoded profiles go; None keeps them in memory.
    """

    def __init__(
        self, model: object, add: Sequence[Extra], shape: tuple[int, int], rows: Rows | None
    ) -> None:
        self.add = set(add)
        if not self.add:
            return
        if not isinstance(model, AbstractMixture) or not model.can_decode:
            raise ValueError(
                f"add={sorted(self.add)} needs a model that decodes, which {type(model).__name__}"
                " does not; leave add out"
            )
        self.model = model
        num_cells, genes = shape
        if "decoded" in self.add:
            self._decoded: Any = np.empty(shape, np.float32) if not rows else rows(DECODED, genes)
        self._likelihood = np.empty(num_cells, dtype=np.float32)
        self._sums = np.zeros((model.num_categories, genes))
        self._cells = np.zeros(model.num_categories)

    def counts(self, adapted: Preparation, matrix: CellMatrix, batch_size: int) -> Any:
        """Raw counts of all cells, batch by batch, where the likelihood is of those; else None."""
        if "likelihood" not in self.add or not self.model.likelihood.counts:
            return None
        if adapted.kind not in COUNTED:
            raise ValueError(
                f"the run's likelihood is of raw counts, which {matrix.name} does not hold; name"
                " their layer: data.layer=NAME, or leave likelihood out of add"
            )
        counted = Preparation(
            adapted.genes, adapted.kind, "none", None, adapted.layer, adapted.columns, True
        )
        return counted.batches(matrix, batch_size)

    def update(
        self,
        rows: slice,
        target: Tensor,
        found: MixturePosterior,
        consensus: NDArray[np.int64],
    ) -> None:
        """Add a batch.

        Args:
            target: What the likelihood describes, shape (B, G): x, or raw counts.
            consensus: The category of each cell, shape (B,).
        """
        if not self.add:
            return
        parameters = self.model.decoded(most_probable(found.probs), found.state_mean)
        if "likelihood" in self.add:
            nll = self.model.likelihood.nll(
                parameters, target.expand(len(parameters), *target.shape)
            )
            self._likelihood[rows] = -nll.mean(dim=0).float().cpu().numpy()
        if self.add & {"decoded", "profiles"}:
            mean = self.model.likelihood.mean(parameters).mean(dim=0).float().cpu().numpy()
            if "decoded" in self.add:
                self._decoded[rows] = mean
            np.add.at(self._sums, consensus, mean)
            self._cells += np.bincount(consensus, minlength=len(self._cells))

    def write(self, adata: Any, kept: NDArray[np.int64]) -> None:
        """Write into an AnnData object what no file holds yet; `kept` are the kept categories."""
        if "decoded" in self.add and isinstance(self._decoded, np.ndarray):
            adata.obsm[DECODED] = self._decoded
        if "likelihood" in self.add:
            adata.obs["mixvae_log_likelihood"] = self._likelihood
        if "profiles" in self.add:
            with np.errstate(invalid="ignore"):
                mean = self._sums[kept] / self._cells[kept, None]
            adata.uns["mixvae"]["profiles"] = mean.astype(np.float32)
