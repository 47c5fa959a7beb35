"""What the data modules of cells share: splits, resident batches, and how cells were prepared."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mixvae.contracts import DataSpec
from mixvae.data.base import AbstractResidentDataModule, Split, SplitRows
from mixvae.data.checks import check_fraction
from mixvae.data.expression import Applied, Kind
from mixvae.data.resident import Resident
from mixvae.data.splits import stratified_indices

TEST_SEED = 0  # whatever the run's seed, results are on the same test cells


@dataclass(frozen=True)
class CellTable:
    """Cells as a run uses them, N of them with G genes.

    Attributes:
        cells: The cells of which batches are cut.
        label: Class of each cell, shape (N,), int64; `UNKNOWN_LABEL` where it has none.
        class_names: Names of the classes; empty without labels.
        genes: Names of the genes, length G.
        kind: What the expression was before it was prepared.
        applied: What was done to it.
    """

    cells: Resident
    label: NDArray[np.int64]
    class_names: tuple[str, ...]
    genes: tuple[str, ...]
    kind: Kind
    applied: Applied


class AbstractCellDataModule(AbstractResidentDataModule):
    """Cells in memory; a subclass says where they come from.

    The test cells are drawn with a fixed seed, so results of different seeds are on the same cells;
    the run's seed parts validation from training. Where there are labels, every class is shared out
    over the three splits; nothing else but evaluation sees them.
    """

    name: str
    """Short name of the data set, of the subclass."""

    def __init__(
        self,
        seed: int,
        batch_size: int,
        val_fraction: float,
        test_fraction: float,
        eval_batch_size: int,
        predict_split: Split,
        target_sum: float,
        stratify: bool,
    ) -> None:
        """Check and keep what all data modules of cells need; see the subclasses."""
        super().__init__(seed, batch_size, val_fraction, eval_batch_size, predict_split)
        check_fraction("test_fraction", test_fraction)
        if isinstance(target_sum, str) or not 0 < target_sum < np.inf:
            raise ValueError(f"target_sum is {target_sum!r}; it must be a positive number, as 1e6")
        self.test_fraction = test_fraction
        self.target_sum = float(target_sum)
        self.stratify = stratify
        self._table: CellTable | None = None

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
        return DataSpec(
            name=self.name,
            shape=(len(self.table.genes),),
            num_classes=len(self.table.class_names),
            class_names=self.table.class_names,
            feature_names=self.table.genes,
        )

    def read_splits(self) -> dict[Split, SplitRows]:
        """Split the cells."""
        table = self.table
        parts = self._split(table.label, table.class_names)
        return {name: SplitRows(table.cells, rows) for name, rows in parts.items()}

    def _split(self, label: NDArray[np.int64], class_names: tuple[str, ...]) -> dict[Split, Tensor]:
        """Row numbers of each split, sorted; a function of labels, fractions and seed."""
        return split_cells(
            label=label,
            class_names=class_names if self.stratify else (),
            test_fraction=self.test_fraction,
            val_fraction=self.val_fraction,
            seed=self.seed,
        )

    def state_dict(self) -> dict[str, Any]:
        """How cells were prepared, in plain types: what another file needs to be annotated."""
        return {
            "genes": list(self.table.genes),
            "kind": self.table.kind,
            "normalize": self.table.applied,
            "target_sum": self.target_sum,
            "class_names": list(self.table.class_names),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuse to go on with other genes, or with values of another unit.

        Raises:
            ValueError: If the checkpoint's cells were prepared otherwise.
        """
        present = AbstractCellDataModule.state_dict(self)
        differing = {
            "genes": (state["genes"], present["genes"]),
            "unit": (_unit(state), _unit(present)),
        }
        for name, (then, now) in differing.items():
            if then != now:
                raise ValueError(
                    f"the checkpoint was trained on cells with other {name}: {_short(then)},"
                    f" now {_short(now)}; use the file and the settings of that run, and"
                    " python -m mixvae.annotate for other cells"
                )


def split_cells(
    label: NDArray[np.int64],
    class_names: tuple[str, ...],
    test_fraction: float,
    val_fraction: float,
    seed: int,
) -> dict[Split, Tensor]:
    """Part test cells from the rest with a fixed seed, and validation from training with `seed`.

    Args:
        label: Class of each cell, shape (N,).
        class_names: Names of the classes, each of which is shared out; empty: labels are ignored.
        test_fraction: Share of the cells that test.
        val_fraction: Share of the rest that validates.
        seed: Seed of the validation split.

    Returns:
        Sorted row numbers of each split, int64, together N long.

    Raises:
        ValueError: If a class has fewer than 3 cells, or a split would be empty.
    """
    classes = label if class_names else np.zeros_like(label)
    names = class_names or ("all cells",)
    test, rest = stratified_indices(classes, names, test_fraction, TEST_SEED, least=3)
    val, train = stratified_indices(classes[rest.numpy()], names, val_fraction, seed, least=2)
    return {"train": rest[train], "val": rest[val], "test": test}


def _unit(state: dict[str, Any]) -> str:
    """What x holds; log data may come from anywhere, so their scale is not known."""
    if state["normalize"] == "log_cpm":
        return f"log of counts scaled to {state['target_sum']:g}"
    return f"{state['kind']} as it came"


def _short(value: object) -> str:
    return f"{len(value)} of them" if isinstance(value, list) else str(value)
