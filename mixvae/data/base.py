"""The base of the data modules: splits and loaders of samples in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from mixvae.contracts import DataSpec, MultimodalSpec
from mixvae.data.checks import check_count, check_fraction, check_seed
from mixvae.data.resident import EvalLoader, FixedOrder, Resident, TrainLoader
from mixvae.data.splits import split_indices
from mixvae.messages import inform

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class SplitRows(NamedTuple):
    """One split of a data set: rows of resident samples, shape (N,)."""

    tensors: Resident
    rows: Tensor


def check_every_class(
    splits: Mapping[Split, SplitRows], class_names: Sequence[str], split_seed: int
) -> None:
    """Refuse a split that leaves a class out of training or test.

    Classes of fewer samples than there are splits cannot be shared out, and are let pass.
    """
    labels = {split: part.tensors.label[part.rows.cpu()] for split, part in splits.items()}
    names = len(class_names)
    count = {split: torch.bincount(y[y >= 0], minlength=names) for split, y in labels.items()}
    total = torch.stack(list(count.values())).sum(0)
    for split in ("train", "test"):
        for k in torch.nonzero((count[split] == 0) & (total >= len(SPLITS))).flatten().tolist():
            raise ValueError(
                f"data.split_seed={split_seed} leaves the class {class_names[k]!r}, which"
                f" {total[k]} of {total.sum()} samples have, out of the {split} split; choose"
                " another split_seed, or change data.test_fraction"
            )


class AbstractResidentDataModule(LightningDataModule, ABC):
    """A data module that reads everything in `setup`, whatever the stage, and keeps it in memory.

    Where the trainer computes on another device than the CPU, the samples are kept there, and no
    batch crosses the bus.

    Args:
        seed: Seed of the validation split and of the order of training.
        batch_size: Global batch size: training samples per step, over all processes.
        epoch_steps: Steps of an epoch; None takes a pass over the training samples. Schedules,
            callbacks and validation count epochs, and so steps where this is given.
        val_fraction: Share of the samples outside the test set that validates, in (0, 1).
        eval_batch_size: Largest number of samples per evaluation step.
        predict_split: Split that is tested and predicted after training.
        split_seed: Draws the test samples, where the data have no test set of their own; settings
            were chosen on those of 0. None: 0, and of several modalities `seed`, which both draw
            validation too. A seed that leaves a class out of training or test is refused.

    Attributes:
        has_test_set: Whether the data have a test set of their own, so that none is drawn.
    """

    has_test_set = False

    def __init__(
        self,
        *,
        seed: int,
        batch_size: int = 250,
        epoch_steps: int | None = None,
        val_fraction: float = 0.1,
        eval_batch_size: int = 1000,
        predict_split: Split = "test",
        split_seed: int | None = None,
    ) -> None:
        super().__init__()
        check_seed(seed)
        if split_seed is not None:
            check_count("split_seed", split_seed, least=0)
        check_fraction("val_fraction", val_fraction)
        check_count("batch_size", batch_size)
        check_count("eval_batch_size", eval_batch_size)
        if epoch_steps is not None:
            check_count("epoch_steps", epoch_steps)
        if predict_split not in SPLITS:
            raise ValueError(f"predict_split is {predict_split!r}; it must be one of {SPLITS}")
        self.seed = seed
        self.batch_size = batch_size
        self.epoch_steps = epoch_steps
        self.val_fraction = val_fraction
        self.eval_batch_size = eval_batch_size
        self.predict_split: Split = predict_split
        self.split_seed_given = split_seed is not None
        self.split_seed = split_seed or 0
        if self.has_test_set:
            self.refuse_split_seed(type(self).__name__.removesuffix("DataModule"))
        self._splits: dict[Split, SplitRows] = {}

    @classmethod
    def take(cls, data: Any, labels: Any) -> dict[str, Any]:
        """Settings by name for objects given from Python, which stand in for files.

        Args:
            data: Whatever the user gave; a subclass refuses what it cannot read.
            labels: Labels, or the name of their column; None for none.
        """
        raise ValueError(
            f"{cls.__name__} has data of its own and takes none from Python; give images to"
            " images_cpl, an AnnData object to cells_cpl, a dict of arrays to multimodal_mmvm"
        )

    def refuse_split_seed(self, source: str) -> None:
        """Refuse a split seed beside a test set of the data's own."""
        if self.split_seed_given:
            raise ValueError(
                f"data.split_seed={self.split_seed} draws test samples, but {source} has a test set"
                " of its own; leave data.split_seed out"
            )

    @property
    @abstractmethod
    def spec(self) -> DataSpec | MultimodalSpec:
        """Name, shape and classes, known before the samples are read."""

    @abstractmethod
    def read_splits(self) -> dict[Split, SplitRows]:
        """Read the data and split them."""

    def drawn_splits(self, tensors: Resident, test_fraction: float) -> dict[Split, SplitRows]:
        """Draw the test rows by `split_seed`, and of the others by `seed` those that validate."""
        test, rest = split_indices(len(tensors.label), [test_fraction], self.split_seed)
        val, train = split_indices(len(rest), [self.val_fraction], self.seed)
        rows: dict[Split, Tensor] = {"train": rest[train], "val": rest[val], "test": test}
        return {split: SplitRows(tensors, part) for split, part in rows.items()}

    def __str__(self) -> str:
        """Name and sizes; Lightning's own version understands torch DataLoaders only."""
        sizes = ", ".join(f"{split} {len(rows)}" for split, (_, rows) in self._splits.items())
        return f"{type(self).__name__}({sizes or 'not set up'})"

    def setup(self, stage: str | None = None) -> None:
        """Read and split the data at the first call; later calls, of any stage, do nothing."""
        if self._splits:
            return
        splits = self.read_splits()
        if len(splits["train"].rows) < self.batch_size:
            self.fit_batch_size(len(splits["train"].rows))
        if self.split_seed_given:
            check_every_class(splits, self.spec.class_names, self.split_seed)
        self._splits = splits

    def fit_batch_size(self, num_train: int) -> None:
        """Refuse a batch that is larger than the training set; a subclass may make it smaller.

        See `halve_batches`.
        """
        raise ValueError(
            f"batch_size is {self.batch_size} but the training set of {self.spec.name} has"
            f" {num_train} samples; choose a smaller batch_size"
        )

    def halve_batches(self, num_train: int, noun: str) -> None:
        """Make batches half of the training set, and log it."""
        _, world_size = self._process()
        half = max(1, num_train // 2 // world_size) * world_size
        inform(
            f"batch_size is {half} instead of {self.batch_size}, as there are {num_train} training"
            f" {noun}"
        )
        self.batch_size = half

    def train_dataloader(self) -> TrainLoader:
        """Shuffled training batches."""
        split, (rank, world_size) = self._resident("train"), self._process()
        loader = TrainLoader(
            *split,
            self.batch_size,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
            epoch_steps=self.epoch_steps,
        )
        if getattr(self.trainer, "overfit_batches", 0) > 0:
            loader.sampler = FixedOrder(loader.sampler.rows, self.seed)
        return loader

    def val_dataloader(self) -> EvalLoader:
        """Validation samples, each once."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> EvalLoader:
        """Samples of `predict_split`, each once: metrics, predictions and figures are of these."""
        return self.eval_dataloader(self.predict_split)

    def predict_dataloader(self) -> EvalLoader:
        """Samples of `predict_split`, each once."""
        return self.eval_dataloader(self.predict_split)

    def eval_dataloader(self, split: Split) -> EvalLoader:
        """Samples of any split, training included, each once and in the order of the source."""
        rank, world_size = self._process()
        return EvalLoader(
            *self._resident(split), self.eval_batch_size, rank=rank, world_size=world_size
        )

    def _resident(self, split: Split) -> SplitRows:
        """Return the split, its tensors moved once to the device that the trainer computes on."""
        assert self._splits, "setup() comes before the dataloaders"
        tensors = self._splits[split].tensors
        device = self.trainer.strategy.root_device if self.trainer else tensors.label.device
        if tensors.label.device != device:
            # one move serves every split that is cut from the same tensors
            moved = tensors.to(device)
            for name, other in self._splits.items():
                if other.tensors is tensors:
                    self._splits[name] = SplitRows(moved, other.rows)
        return self._splits[split]

    def _process(self) -> tuple[int, int]:
        """Rank of this process and number of processes; (0, 1) without a trainer."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def find_state(checkpoint: Mapping[str, Any], keys: Iterable[str]) -> Mapping[str, Any] | None:
    """Find the state of a data module by its keys in a checkpoint as Lightning writes it."""
    states = (state for state in checkpoint.values() if isinstance(state, Mapping))
    return next((state for state in states if set(keys) <= state.keys()), None)
