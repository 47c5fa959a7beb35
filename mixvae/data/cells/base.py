"""The data modules of cells: splits, resident batches, and how the cells were prepared."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mixvae.contracts import UNKNOWN_LABEL, DataSpec
from mixvae.data.base import AbstractResidentDataModule, Split, SplitRows
from mixvae.data.cells.covariates import CellCovariates
from mixvae.data.cells.expression import TargetSum, check_target_sum
from mixvae.data.cells.genes import shown
from mixvae.data.cells.preparation import Preparation
from mixvae.data.cells.source import CellSource
from mixvae.data.checks import check_fraction
from mixvae.data.resident import Resident
from mixvae.data.splits import stratified_indices
from mixvae.messages import warn

FEWEST = 6  # cells that can be split in three
LEAST = 3  # cells of a class that is in training, validation and test


@dataclass(frozen=True)
class CellTable:
    """Cells as a run uses them, N of them with G genes.

    Attributes:
        label: Class of each cell, shape (N,), int64; `UNKNOWN_LABEL` where it has none.
        class_names: Names of the classes; empty without labels.
    """

    cells: Resident
    label: NDArray[np.int64]
    class_names: tuple[str, ...]
    preparation: Preparation
    covariates: CellCovariates = field(default_factory=CellCovariates)


class AbstractCellDataModule(AbstractResidentDataModule):
    """Cells in memory or on disk; a subclass reads or makes them.

    The test cells are drawn by `split_seed`, so results of different seeds are on the same cells;
    the run's seed parts validation from training. Where there are labels, every class is shared out
    over the three splits; nothing else but evaluation sees them.

    Args:
        target_sum: Sum of each library after scaling, before the log; 1e6 gives log-CPM, `median`
            the median library of the training cells.
        test_fraction: Share of the cells that test, in (0, 1); the same whatever the seed.
        stratify: Share out every class of the labels over the splits.
    """

    name: str
    """Short name of the data set, of the subclass."""

    def __init__(
        self,
        *,
        target_sum: TargetSum = 1e6,
        test_fraction: float = 0.2,
        stratify: bool = True,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_fraction("test_fraction", test_fraction)
        self.test_fraction = test_fraction
        self.target_sum = check_target_sum(target_sum)
        self.stratify = stratify
        self.run_preparation: Preparation | None = None
        self.run_covariates: CellCovariates | None = None
        self._table: CellTable | None = None
        self._told_of_rare = False

    @abstractmethod
    def read_table(self) -> CellTable:
        """Read or make the cells; called once."""

    @property
    def table(self) -> CellTable:
        """The cells, read at the first call."""
        if self._table is None:
            self._table = self.read_table()
        return self._table

    @property
    def spec(self) -> DataSpec:
        """The genes and classes; the first call reads the cells."""
        genes = self.table.preparation.genes
        return DataSpec(
            name=self.name,
            shape=(len(genes),),
            num_classes=len(self.table.class_names),
            class_names=self.table.class_names,
            feature_names=genes,
            covariates=self.table.covariates.names,
            target_sum=self.table.preparation.target_sum,
        )

    def read_splits(self) -> dict[Split, SplitRows]:
        """Split the cells."""
        table = self.table
        parts = self._split(table.label, table.class_names)
        return {name: SplitRows(table.cells, rows) for name, rows in parts.items()}

    def fit_batch_size(self, num_train: int) -> None:
        """Make the batches of a small set half of its training cells."""
        self.halve_batches(num_train, "cells")

    def _split(self, label: NDArray[np.int64], class_names: tuple[str, ...]) -> dict[Split, Tensor]:
        """Row numbers of each split, sorted; a function of labels, fractions and seed."""
        if len(label) < FEWEST:
            raise ValueError(
                f"{len(label)} cells are too few to train, validate and test; {FEWEST} or more are"
                " needed"
            )
        names = class_names if self.stratify else ()
        classes = self._without_rare(label, names) if names else np.zeros_like(label)
        names = names or ("all cells",)
        test, rest = stratified_indices(
            classes, names, self.test_fraction, self.split_seed, least=LEAST
        )
        kept = classes[rest.numpy()]
        val, train = stratified_indices(kept, names, self.val_fraction, self.seed)
        return {"train": rest[train], "val": rest[val], "test": test}

    def _without_rare(
        self, label: NDArray[np.int64], class_names: tuple[str, ...]
    ) -> NDArray[np.int64]:
        """The classes that are shared out over the splits; cells of the others lie anywhere."""
        count = np.bincount(label[label >= 0], minlength=len(class_names))
        rare = [name for name, cells in zip(class_names, count, strict=True) if cells < LEAST]
        if rare and not self._told_of_rare:
            told = f"classes of fewer than {LEAST} cells, which are not in every split"
            warn(f"{told}: {shown(rare)}")
            self._told_of_rare = True
        return np.where((label >= 0) & (count[label] >= LEAST), label, UNKNOWN_LABEL)

    def state_dict(self) -> dict[str, Any]:
        """The preparation in plain types, by which the run annotates other files."""
        return {
            **self.table.preparation.as_plain(),
            "class_names": list(self.table.class_names),
            "covariates": self.table.covariates.as_plain(),
        }

    def find_covariates(
        self,
        source: CellSource,
        batch_key: str | None,
        keys: Sequence[str],
        rows: NDArray[np.int64],
    ) -> tuple[CellCovariates, NDArray[np.float32] | None]:
        """Fit the covariates to training cells, or take a trained run's; and their values."""
        run = self.run_covariates
        if run is None:
            return CellCovariates.fit(source, batch_key, keys, rows)
        return run, run.encode(source) if run.columns else None

    def go_by(self, checkpoint: Mapping[str, Any]) -> None:
        """Take over genes, unit and covariates of a trained run, before `setup`."""
        self.run_preparation = Preparation.find(checkpoint)
        self.run_covariates = CellCovariates.find(checkpoint)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuse to resume with other genes, or with values of another unit."""
        run, present = Preparation.from_plain(state), self.table.preparation
        differing = {
            "genes": (run.genes, present.genes),
            "unit": (run.described, present.described),
            "covariates": tuple(
                " ".join(one.name for one in some.names) or "none"
                for some in (
                    CellCovariates.from_plain(state.get("covariates", {})),
                    self.table.covariates,
                )
            ),
        }
        for name, (then, now) in differing.items():
            if then != now:
                told = [v if isinstance(v, str) else f"{len(v)} of them" for v in (then, now)]
                raise ValueError(
                    f"the checkpoint was trained on cells with other {name}: {told[0]}, now"
                    f" {told[1]}; use the file and the settings of that run, and"
                    " python -m mixvae.annotate for other cells"
                )
