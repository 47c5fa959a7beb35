"""What dSprites' own images and rendered ones share: subset, labels, splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.contracts import DataSpec
from mixvae.data.base import AbstractResidentDataModule, Split, SplitRows
from mixvae.data.checks import check_fraction
from mixvae.data.dsprites_grid import (
    FACTOR_SIZES,
    SHAPES,
    Grid,
    Subset,
    check_factor,
    grid,
    kept_values,
)
from mixvae.data.dsprites_packed import PackedImages
from mixvae.data.splits import split_indices

FOLDER = "dsprites"
IMAGE_SHAPE = (1, 64, 64)


class AbstractDSpritesDataModule(AbstractResidentDataModule, ABC):
    """Sprites of 64 x 64 binary pixels, one for every combination of the kept factor values.

    There is no official split. Ours draws the test images by a seed of its own, so results of
    different seeds are on the same images; the seed only parts validation from training.
    `Batch.index` is the row in the official file.

    Args:
        name: Name of the data set.
        seed: Seed of the validation split and of the order of training.
        root: Data root; None takes MIXVAE_DATA_DIR, or else the user's cache folder.
        subset: What to keep of each factor: n keeps every n-th value, a list these values.
        label_factor: The factor that is the label.
        batch_size: Training samples per step, over all processes.
        test_fraction: Share of the images that tests, in (0, 1).
        val_fraction: Share of the rest that validates, in (0, 1).
        eval_batch_size: Largest number of samples per evaluation step.
        predict_split: Split that is tested and predicted after training.

    Raises:
        ValueError: If a setting is out of its range.
    """

    name: str

    def __init__(
        self,
        name: str,
        seed: int,
        root: str | Path | None,
        subset: Subset,
        label_factor: str,
        batch_size: int,
        test_fraction: float,
        val_fraction: float,
        eval_batch_size: int,
        predict_split: Split,
    ) -> None:
        super().__init__(seed, batch_size, val_fraction, eval_batch_size, predict_split)
        check_fraction("test_fraction", test_fraction)
        check_factor("label_factor", label_factor)
        self.values = kept_values(subset)
        self.name = name
        self.root = root
        self.label_factor = label_factor
        self.test_fraction = test_fraction
        self._label_column = list(FACTOR_SIZES).index(label_factor)
        kept = self.values[self._label_column]
        if len(kept) < 2:
            raise ValueError(
                f"label_factor is {label_factor}, of which the subset keeps one value, {kept[0]};"
                f" keep more of them in subset.{label_factor}, or choose another label_factor"
            )

    @property
    def spec(self) -> DataSpec:
        """Images of 64 x 64 pixels, their classes the kept values of the label factor."""
        kept = self.values[self._label_column]
        names = [SHAPES[value] if self.label_factor == "shape" else str(value) for value in kept]
        return DataSpec(
            name=self.name,
            shape=IMAGE_SHAPE,
            num_classes=len(kept),
            class_names=tuple(names),
            value_range=(0.0, 1.0),
            factor_names=tuple(FACTOR_SIZES),
            factor_sizes=tuple(len(values) for values in self.values),
        )

    @abstractmethod
    def read_packed(self, images: Grid) -> NDArray[np.uint8]:
        """The images of a grid, flattened and packed, shape (N, 512)."""

    def read_splits(self) -> dict[Split, SplitRows]:
        """Read the kept images and split them."""
        images = grid(self.values)
        factors = torch.from_numpy(images.factors)
        tensors = PackedImages(
            packed=torch.from_numpy(self.read_packed(images)),
            shape=IMAGE_SHAPE,
            label=factors[:, self._label_column].contiguous(),
            factors=factors,
            rows=torch.from_numpy(images.rows),
        )
        test, rest = split_indices(len(images.rows), [self.test_fraction], seed=0)
        val, train = split_indices(len(rest), [self.val_fraction], self.seed)
        return {
            "train": SplitRows(tensors, rest[train]),
            "val": SplitRows(tensors, rest[val]),
            "test": SplitRows(tensors, test),
        }
