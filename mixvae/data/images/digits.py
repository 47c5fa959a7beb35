"""Scikit-learn's 1,797 real handwritten digits of 8 x 8 pixels: they come with the package."""

from __future__ import annotations

import numpy as np
import torch

from mixvae.contracts import DataSpec
from mixvae.data.base import AbstractResidentDataModule, Split, SplitRows
from mixvae.data.resident import ResidentTensors

NUM_TEST = 360
LARGEST_PIXEL = 16


class DigitsDataModule(AbstractResidentDataModule):
    """The digits of the UCI set that scikit-learn ships, shape (1, 8, 8), values in [0, 1].

    Scikit-learn gives no official split. Ours draws 360 test rows by `split_seed`, which `seed`
    does not change, so results of different seeds are on the same digits. `seed` only parts
    validation from training. `Batch.index` is the row in `sklearn.datasets.load_digits`.
    """

    @property
    def spec(self) -> DataSpec:
        """Ten classes of 8 x 8 pixels."""
        return DataSpec(
            name="digits",
            shape=(1, 8, 8),
            num_classes=10,
            class_names=tuple("0123456789"),
            value_range=(0.0, 1.0),
        )

    def read_splits(self) -> dict[Split, SplitRows]:
        """Read scikit-learn's file and split it."""
        from sklearn.datasets import load_digits  # scikit-learn is slow to import

        images, labels = load_digits(return_X_y=True)
        tensors = ResidentTensors(
            stored=torch.from_numpy(images.astype(np.uint8)).reshape(-1, *self.spec.shape),
            label=torch.from_numpy(labels.astype(np.int64)),
            unit=LARGEST_PIXEL,
        )
        return self.drawn_splits(tensors, NUM_TEST / len(labels))
