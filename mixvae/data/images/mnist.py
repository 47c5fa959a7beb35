"""MNIST: 60,000 training and 10,000 test digits of 28 x 28 pixels, from its official files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mixvae.contracts import DataSpec
from mixvae.data.base import Split, SplitRows
from mixvae.data.checks import check_count
from mixvae.data.fetch import AbstractDownloadedDataModule, RemoteFile
from mixvae.data.files.idx import read_official_idx
from mixvae.data.resident import ResidentTensors
from mixvae.data.splits import split_indices

FOLDER = Path("MNIST", "raw")
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
LARGEST_PIXEL = 255


class OfficialFile(NamedTuple):
    """One of the four files, with the md5 of its bytes and of its compressed form."""

    name: str
    num_dims: int
    md5: str
    gz_md5: str


# fmt: off
TRAIN_IMAGES = OfficialFile("train-images-idx3-ubyte", 3, "6bbc9ace898e44ae57da46a324031adb",
                            "f68b3c2dcbeaaa9fbdd348bbdeb94873")
TRAIN_LABELS = OfficialFile("train-labels-idx1-ubyte", 1, "a25bea736e30d166cdddb491f175f624",
                            "d53e105ee54ea40749a09fcbcd1e9432")
TEST_IMAGES = OfficialFile("t10k-images-idx3-ubyte", 3, "2646ac647ad5339dbf082846283269ea",
                           "9fb629c4189551a2d022fa330f9573f3")
TEST_LABELS = OfficialFile("t10k-labels-idx1-ubyte", 1, "27ae3e4e09519cfbb04c329615203637",
                           "ec29112dd5afa0611ce80d1b7f02629c")
# fmt: on
OFFICIAL_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


class MNISTDataModule(AbstractDownloadedDataModule):
    """MNIST, shape (1, 28, 28), values in [0, 1]; the official training and test sets stay apart.

    Validation is split from the official training set. `Batch.index` is the row in the official
    file of the split: training and validation rows are of the training files, test rows of the test
    files. Files lie in torchvision's layout, `<root>/MNIST/raw/*-ubyte`, plain or `.gz`.

    Args:
        root: Data root; None takes MIXVAE_DATA_DIR, or else the user's cache folder.
        train_samples: Number of official training samples to use, drawn by the seed before
            validation is split off; None uses all.
        **shared: See `AbstractDownloadedDataModule`; other IDX files of this layout are those of
            Fashion-MNIST or of a small set.
    """

    title = "MNIST"
    folder = FOLDER
    without_network = "python -m mixvae.train +experiment=digits_cpl"

    has_test_set = True

    def __init__(
        self,
        *,
        root: str | Path | None = None,
        train_samples: int | None = None,
        mirrors: Sequence[str] = MIRRORS,
        **shared: Any,
    ) -> None:
        super().__init__(mirrors=mirrors, **shared)
        if train_samples is not None:
            check_count("train_samples", train_samples, least=2)
        self.root = root
        self.train_samples = train_samples

    @property
    def spec(self) -> DataSpec:
        """Ten classes of 28 x 28 pixels."""
        return DataSpec(
            name="mnist",
            shape=(1, 28, 28),
            num_classes=10,
            class_names=tuple("0123456789"),
            value_range=(0.0, 1.0),
        )

    def missing_files(self) -> dict[RemoteFile, str]:
        """The files that lie there neither plain nor packed."""
        found = {}
        for file in OFFICIAL_FILES:
            if find_file(self.path, file) is None:
                packed = f"{file.name}.gz"
                found[RemoteFile(packed, file.gz_md5)] = f"{self.path / file.name} or {packed}"
        return found

    def read_splits(self) -> dict[Split, SplitRows]:
        """Read the four files and split validation from the official training set."""
        train = self._read_pair(TRAIN_IMAGES, TRAIN_LABELS)
        test = self._read_pair(TEST_IMAGES, TEST_LABELS)
        rows = torch.arange(len(train.label))
        if self.train_samples is not None and self.train_samples < len(rows):
            # another stream than the validation split's, so that the two draws are independent
            generator = np.random.default_rng([self.seed, 1])
            drawn = generator.permutation(len(rows))[: self.train_samples]
            rows = torch.from_numpy(np.sort(drawn))
        elif self.train_samples is not None and self.train_samples > len(rows):
            raise ValueError(
                f"train_samples is {self.train_samples} but the training set has {len(rows)}"
                " samples; choose at most that many, or null for all"
            )
        val_part, train_part = split_indices(len(rows), [self.val_fraction], self.seed)
        return {
            "train": SplitRows(train, rows[train_part]),
            "val": SplitRows(train, rows[val_part]),
            "test": SplitRows(test, torch.arange(len(test.label))),
        }

    def _read_pair(self, images: OfficialFile, labels: OfficialFile) -> ResidentTensors:
        """Read images and their labels, and check that they belong together."""
        arrays, paths = [], []
        for file in (images, labels):
            path = find_file(self.path, file)
            if path is None:
                raise self.unavailable("prepare_data() was not called before setup()")
            paths.append(path)
            arrays.append(
                read_official_idx(path, file.num_dims, file.md5 if self.checksum else None)
            )
        pixels, classes = arrays
        if pixels.shape[1:] != self.spec.shape[1:]:
            raise ValueError(
                f"{paths[0]} holds images of {pixels.shape[1:]} pixels;"
                f" expected {self.spec.shape[1:]}. Put the images of MNIST in its place"
            )
        if len(pixels) != len(classes) or not len(pixels):
            raise ValueError(
                f"{paths[0]} holds {len(pixels)} images but {paths[1]} holds {len(classes)}"
                " labels; there must be one label for each image, and at least one."
                " Put files of the same set in their place"
            )
        if classes.max() >= self.spec.num_classes:
            raise ValueError(
                f"{paths[1]} holds the label {classes.max()};"
                f" labels must lie in 0..{self.spec.num_classes - 1}"
            )
        return ResidentTensors(
            stored=torch.from_numpy(pixels).unsqueeze(1),
            label=torch.from_numpy(classes.astype(np.int64)),
            unit=LARGEST_PIXEL,
        )


def find_file(folder: Path, file: OfficialFile) -> Path | None:
    """The file, or else its packed form, which is slower to read; None without both."""
    places = folder / file.name, folder / f"{file.name}.gz"
    # os.path answers no, and does not raise, where a folder on the way may not be entered
    return next((path for path in places if os.path.isfile(path)), None)
