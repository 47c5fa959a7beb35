"""MNIST: 60,000 training and 10,000 test digits of 28 x 28 pixels, from its official files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mixvae.contracts import DataSpec
from mixvae.data.base import AbstractResidentDataModule, Split, SplitRows
from mixvae.data.checks import check_count, check_seconds
from mixvae.data.fetch import FetchError, RemoteFile, data_root, fetch, unavailable
from mixvae.data.idx import read_idx
from mixvae.data.resident import ResidentTensors
from mixvae.data.splits import split_indices

FOLDER = Path("MNIST", "raw")
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
LARGEST_PIXEL = 255
WITHOUT_NETWORK = "python -m mixvae.train +experiment=digits_cpl"


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


class MNISTDataModule(AbstractResidentDataModule):
    """MNIST, shape (1, 28, 28), values in [0, 1]; the official training and test sets stay apart.

    Validation is split from the official training set. `Batch.index` is the row in the official
    file of the split: training and validation rows are of the training files, test rows of the test
    files. Files lie in torchvision's layout, `<root>/MNIST/raw/*-ubyte`, plain or `.gz`.

    Args:
        root: Data root; None takes MIXVAE_DATA_DIR, or else the user's cache folder.
        download: Whether missing files may be downloaded.
        checksum: Whether files must be the official ones, by md5; without, any IDX files of
            this layout do, such as Fashion-MNIST or a small set.
        train_samples: Number of official training samples to use, drawn by the seed before
            validation is split off; None uses all.
        mirrors: Addresses that a file's name with `.gz` is appended to, tried in turn.
        timeout: Seconds to wait for a mirror's next bytes.

    Raises:
        ValueError: If a setting is out of its range.
    """

    def __init__(
        self,
        seed: int,
        root: str | Path | None = None,
        download: bool = True,
        checksum: bool = True,
        batch_size: int = 250,
        val_fraction: float = 0.1,
        eval_batch_size: int = 1000,
        train_samples: int | None = None,
        predict_split: Split = "test",
        mirrors: Sequence[str] = MIRRORS,
        timeout: float = 10.0,
    ) -> None:
        super().__init__(seed, batch_size, val_fraction, eval_batch_size, predict_split)
        if train_samples is not None:
            check_count("train_samples", train_samples, least=2)
        check_seconds("timeout", timeout)
        self.root = root
        self.download = download
        self.checksum = checksum
        self.train_samples = train_samples
        self.mirrors = tuple(mirrors)
        self.timeout = timeout

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

    def prepare_data(self) -> None:
        """Download the missing files.

        Raises:
            ValueError: If the data root is a file, or files are missing and it is not writable.
            FetchError: If files are missing and no mirror gives them.
        """
        folder = data_root(self.root) / FOLDER
        missing = [file for file in OFFICIAL_FILES if _find(folder, file) is None]
        if not missing:
            return
        if not self.download:
            raise _unavailable(folder, "downloading is switched off (data.download=false)")
        remote = [
            RemoteFile(f"{file.name}.gz", file.gz_md5 if self.checksum else None)
            for file in missing
        ]
        try:
            fetch(remote, folder, self.mirrors, self.timeout)
        except FetchError as error:
            raise _unavailable(folder, str(error)) from error

    def read_splits(self) -> dict[Split, SplitRows]:
        """Read the four files and split validation from the official training set."""
        folder = data_root(self.root) / FOLDER
        train = self._read_pair(folder, TRAIN_IMAGES, TRAIN_LABELS)
        test = self._read_pair(folder, TEST_IMAGES, TEST_LABELS)
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

    def _read_pair(
        self, folder: Path, images: OfficialFile, labels: OfficialFile
    ) -> ResidentTensors:
        """Read images and their labels, and check that they belong together."""
        arrays, paths = [], []
        for file in (images, labels):
            path = _find(folder, file)
            if path is None:
                raise _unavailable(folder, "prepare_data() was not called before setup()")
            paths.append(path)
            arrays.append(read_idx(path, file.num_dims, file.md5 if self.checksum else None))
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


def _candidates(folder: Path, file: OfficialFile) -> tuple[Path, Path]:
    """Where a file may lie; the plain file comes first, since it is faster to read."""
    return folder / file.name, folder / f"{file.name}.gz"


def _find(folder: Path, file: OfficialFile) -> Path | None:
    # os.path answers no, and does not raise, where a folder on the way may not be entered
    return next((path for path in _candidates(folder, file) if os.path.isfile(path)), None)


def _unavailable(folder: Path, failures: str) -> FetchError:
    """The error that names all missing files and the failures."""
    missing = [file for file in OFFICIAL_FILES if _find(folder, file) is None]
    looked = "\n".join(
        f"  {plain} or {os.path.basename(packed)}"
        for plain, packed in (_candidates(folder, file) for file in missing)
    )
    return unavailable("MNIST", looked, failures, FOLDER, WITHOUT_NETWORK)
