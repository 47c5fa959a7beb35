"""Translated PolyMNIST: views of one digit, each from another image on a background of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.base import SPLITS, Split
from mixvae.data.checks import check_count
from mixvae.data.fetch import data_root
from mixvae.data.files.idx import read_official_idx
from mixvae.data.images.mnist import FOLDER, OFFICIAL_FILES, find_file
from mixvae.data.modalities.alignment import Aligned
from mixvae.data.modalities.event_labels import EventLabels
from mixvae.data.modalities.multimodal_arrays import AbstractArraysDataModule
from mixvae.data.modalities.polymnist_views import (
    SIDE,
    compose_views,
    read_folder,
    read_pictures,
    synthetic_pictures,
)
from mixvae.messages import inform

STAND_IN_TEST = 360


class PolyMNISTDataModule(AbstractArraysDataModule):
    """Views of one digit, shape (3, 28, 28) each, values in [0, 1]: `m0`, `m1`, ...

    Views are made from MNIST below `root`: for each digit and view a random order of that
    digit's images, each resized to `digit_side` pixels, moved, and inverted on a crop of the view's
    picture. Without MNIST there, scikit-learn's digits take its place. The test set is MNIST's.

    Args:
        root: Folder that may hold `MNIST/raw`; None: `MIXVAE_DATA_DIR`, or the user's cache.
        path: A folder of the public files, `train/m0/<i>.<digit>.png` and `test/...`; None: made.
        num_views: Number of views M, at least 2.
        digit_side: Pixels of a digit, 4 to 28. It is moved by 0 to 28 - digit_side. 21 makes
            translated PolyMNIST, 28 plain PolyMNIST.
        backgrounds: One picture for each view; None: synthetic textures.
        train_samples: Number of training digits taken, evenly spaced; None: all.
        test_samples: The same of test digits.
    """

    name = "polymnist"
    has_test_set = True

    def __init__(
        self,
        *,
        root: str | None = None,
        path: str | None = None,
        num_views: int = 3,
        digit_side: int = 21,
        backgrounds: Sequence[str] | None = None,
        train_samples: int | None = None,
        test_samples: int | None = None,
        **shared: Any,
    ) -> None:
        check_count("num_views", num_views)
        if num_views < 2:
            raise ValueError(f"data.num_views is {num_views}; several modalities are two or more")
        if not 4 <= digit_side <= SIDE:
            raise ValueError(f"data.digit_side is {digit_side}; it must be 4 to {SIDE} pixels")
        if backgrounds is not None and len(backgrounds) != num_views:
            raise ValueError(
                f"data.backgrounds names {len(backgrounds)} pictures for {num_views} views"
            )
        for name, count in (("train_samples", train_samples), ("test_samples", test_samples)):
            if count is not None:
                check_count(name, count)
        names = {f"m{m}": path or "MNIST" for m in range(num_views)}
        kinds = dict.fromkeys(names, "image") | (shared.pop("kinds", None) or {})
        super().__init__(names, kinds=kinds, **shared)
        self.root, self.path, self.num_views = root, path, num_views
        self.digit_side = digit_side
        self.backgrounds = None if backgrounds is None else list(backgrounds)
        self.train_samples, self.test_samples = train_samples, test_samples
        self._label = np.empty(0, dtype=np.int64)
        self._num_train = 0

    def read_arrays(self) -> Aligned:
        """Read or make the views: training first, then test."""
        if self.path is not None:
            parts = [read_folder(Path(self.path), part, self.num_views) for part in SPLITS[::2]]
        else:
            pictures = synthetic_pictures(self.num_views)
            if self.backgrounds is not None:
                pictures = read_pictures(self.backgrounds)
            parts = [
                compose_views(digits, label, pictures, seed, self.digit_side)
                for seed, (digits, label) in enumerate(self._digits())
            ]
        wanted = (self.train_samples, self.test_samples)
        parts = [part.spread(count) for part, count in zip(parts, wanted, strict=True)]
        self._num_train = len(parts[0].label)
        self._label = np.concatenate([part.label for part in parts])
        return Aligned(
            {
                f"m{m}": np.concatenate([part.views[m] for part in parts])
                for m in range(self.num_views)
            }
        )

    def read_labels(self, num_events: int, ids: tuple[str, ...] | None) -> EventLabels:
        """The digits."""
        return EventLabels(self._label, tuple("0123456789"), EventLabels.none(num_events).tags)

    def split(self, labels: EventLabels) -> dict[Split, np.ndarray]:
        """The official test set; a share of the others validates."""
        order = np.random.default_rng([self.seed, 1]).permutation(self._num_train)
        num_val = max(1, round(self.val_fraction * self._num_train))
        test = np.arange(self._num_train, len(labels.label))
        return {"train": np.sort(order[num_val:]), "val": np.sort(order[:num_val]), "test": test}

    def _digits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Images (N, H, W), uint8, and digits, of training and of test."""
        folder = data_root(self.root) / FOLDER
        if found := _mnist(folder):
            return found
        inform(f"no MNIST in {folder}: scikit-learn's 1,797 digits of 8 x 8 take its place")
        from sklearn.datasets import load_digits

        images, label = load_digits(return_X_y=True)
        images = (images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        parts = (slice(None, -STAND_IN_TEST), slice(-STAND_IN_TEST, None))
        return [(images[part], label[part]) for part in parts]


def _mnist(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """MNIST's four files, plain or compressed; nothing if one is missing."""
    paths = [find_file(folder, file) for file in OFFICIAL_FILES]
    arrays = [
        read_official_idx(path, file.num_dims)
        for file, path in zip(OFFICIAL_FILES, paths, strict=True)
        if path
    ]
    if len(arrays) < len(paths):
        return []
    return [(arrays[n], arrays[n + 1].astype(np.int64)) for n in (0, 2)]
