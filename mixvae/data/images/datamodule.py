"""The user's own images: a folder of pictures, `.npy`, `.npz`, IDX, or arrays in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixvae.contracts import UNKNOWN_LABEL, DataSpec
from mixvae.data.base import AbstractResidentDataModule, Split, SplitRows
from mixvae.data.checks import check_count, check_fractions
from mixvae.data.files.given import as_array, as_labels, is_anndata, label_words
from mixvae.data.images.image_arrays import Channels, ImageState, coloured, to_unit, value_range
from mixvae.data.images.image_files import Layout, check_channels, read_images, size_of
from mixvae.data.images.image_labels import Images
from mixvae.data.resident import EpochOrder, FixedOrder, ResidentTensors, TrainLoader
from mixvae.data.splits import split_indices
from mixvae.messages import inform

FEWEST = 10  # images that can be split in three
LARGEST_BYTE = 255


class ImageDataModule(AbstractResidentDataModule):
    """Images of one size, grey or colour, shape (C, H, W), values in [0, 1].

    The source may have splits of its own: folders `train` and `test`, MNIST's file names, or arrays
    such as `x_train` and `x_test` of an `.npz`. Otherwise the test images are drawn by
    `split_seed`, so results of different seeds are on the same images. `Batch.index` is the row in
    the array, or the place among the sorted file names, of its split. Labels are for evaluation
    only.

    Args:
        path: A folder of PNG or JPEG files (one folder a class, or none), `.npy`, `.npz` (or
            `file.npz:key`), or an IDX file of any size, plain or gz.
        labels: File of the labels: `.npy`, `.npz`, `.csv` or IDX. None takes the folders' names, or
            the labels that the source has.
        test_path: Images of an official test set, as `path`.
        test_labels: Their labels, as `labels`.
        channels: Where an array has its channels: `first` (N, C, H, W) or `last` (N, H, W, C); None
            guesses by the axis of 1, 3 or 4.
        size: Height and width to resize to, one number or two; None keeps the size.
        least_steps: An epoch goes through few images several times, until it has so many steps.
        test_fraction: Share of the images that test, where no test set is given, in (0, 1).
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        labels: str | None = None,
        test_path: str | None = None,
        test_labels: str | None = None,
        channels: Channels | None = None,
        size: int | Sequence[int] | None = None,
        least_steps: int = 1,
        test_fraction: float = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_fractions(self.val_fraction, test_fraction)
        check_count("least_steps", least_steps)
        check_channels(channels)
        if path is None:
            raise ValueError(
                "data.path names no images; name a folder of PNG or JPEG files, an .npy, .npz or"
                " IDX file: data.path=FOLDER"
            )
        if test_labels is not None and test_path is None:
            raise ValueError("data.test_labels is given without data.test_path; name both")
        self.path, self.labels = path, labels
        self.test_path, self.test_labels = test_path, test_labels
        self.layout = Layout(channels, size_of(size))
        self.least_steps = least_steps
        self.test_fraction = test_fraction
        self.run_state: ImageState | None = None
        self._images: dict[Split, Images] | None = None
        self._state: ImageState | None = None

    @classmethod
    def take(cls, data: Any, labels: Any) -> dict[str, Any]:
        """Take an array of images, or the path of a file or folder."""
        if isinstance(data, str):
            return {"path": data} | ({} if labels is None else {"labels": labels})
        if is_anndata(data) or isinstance(data, Mapping) or hasattr(data, "mod"):
            raise ValueError(
                f"{cls.__name__} takes arrays of images, got {type(data).__name__}; make one of a"
                " table, table.to_numpy().reshape(-1, height, width). Give an AnnData object to"
                " cells_cpl, a dict of arrays to multimodal_mmvm"
            )
        settings = {"path": as_array(data, "images")}
        if settings["path"].dtype.kind == "U":
            first = str(settings["path"].flat[0])
            raise ValueError(
                f"images are texts, such as {first!r}; give their pixels, or the folder of their"
                " files: data=FOLDER"
            )
        if labels is not None:
            settings["labels"] = as_labels(labels, len(settings["path"]), "labels")
        return settings

    @property
    def spec(self) -> DataSpec:
        """Shape and classes; the first call reads the images."""
        state = self.state
        return DataSpec(
            name="images",
            shape=state.shape,
            num_classes=len(state.classes),
            class_names=state.classes,
            value_range=(0.0, 1.0),
        )

    @property
    def state(self) -> ImageState:
        """Shape, range of the values and classes: the run's, or else the data's own."""
        if self._state is None:
            images = self._read()
            train = images["train"]
            shape = train.pixels.shape[1:]
            classes = _distinct(part.labels for part in images.values())
            if self.run_state is None:
                low, high = value_range(train.pixels, train.name)
                self._state = ImageState(shape, low, high, classes)
            else:
                self.run_state.check_shape(shape, train.name)
                known = self.run_state
                names = known.classes or classes
                self._state = ImageState(known.shape, known.low, known.high, names)
        return self._state

    def read_splits(self) -> dict[Split, SplitRows]:
        """Scale the images and split them."""
        state, images = self.state, self._read()
        tensors = {split: _resident(part, state) for split, part in images.items()}
        self._images = None
        train = tensors["train"]
        rows = torch.arange(len(train.label))
        splits: dict[Split, SplitRows] = {
            split: SplitRows(part, torch.arange(len(part.label))) for split, part in tensors.items()
        }
        if "test" in splits:
            self.refuse_split_seed(str(self.path))
        if "test" not in splits:
            test, rest = split_indices(len(rows), [self.test_fraction], self.split_seed)
            splits["test"], rows = SplitRows(train, rows[test]), rows[rest]
        if "val" not in splits:
            val, rest = split_indices(len(rows), [self.val_fraction], self.seed)
            splits["val"], rows = SplitRows(train, rows[val]), rows[rest]
        splits["train"] = SplitRows(train, rows)
        if len(rows) < self.batch_size:
            inform(f"batch_size is {len(rows)}, all {len(rows)} training images")
            self.batch_size = len(rows)
        return splits

    def train_dataloader(self) -> TrainLoader:
        """Shuffled training batches, from several passes over few images."""
        loader = super().train_dataloader()
        passes = math.ceil(self.least_steps / loader.pass_steps)
        if self.epoch_steps is None and passes > 1 and not isinstance(loader.sampler, FixedOrder):
            loader.sampler = RepeatedOrder(loader.sampler.rows, self.seed, passes)
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Shape, range of the values and classes, as a checkpoint may hold them."""
        return self.state.as_plain()

    def go_by(self, checkpoint: Mapping[str, Any]) -> None:
        """Take over the state of a trained run, before `setup`."""
        self.run_state, self._state = ImageState.find(checkpoint), None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuse to resume with other images: of another shape, range or other classes."""
        run = ImageState.from_plain(state)
        if run != self.state:
            raise ValueError(
                f"the checkpoint was trained on other images: {run}, now {self.state}; use the"
                " data and the settings of that run"
            )

    def _read(self) -> dict[Split, Images]:
        if self._images is None:
            images = read_images(self.path, self.labels, self.layout)
            if self.test_path is not None:
                if "test" in images:
                    raise ValueError(
                        f"data.test_path is {self.test_path}, but {self.path} has a test set of its"
                        " own; leave data.test_path out"
                    )
                other = read_images(self.test_path, self.test_labels, self.layout)
                images["test"] = other.get("test", other["train"])
            channels = 3 if any(part.pixels.shape[1] == 3 for part in images.values()) else None
            if self.run_state is not None:
                channels = self.run_state.shape[0]
            images = {
                split: part._replace(pixels=coloured(part.pixels, channels))
                for split, part in images.items()
            }
            train = images["train"]
            if len(train.pixels) < FEWEST:
                raise ValueError(
                    f"{train.name} has {len(train.pixels)} images, too few to train, validate and"
                    f" test; {FEWEST} or more are needed"
                )
            for part in images.values():
                if part.pixels.shape[1:] != train.pixels.shape[1:]:
                    raise ValueError(
                        f"{part.name} has images of the shape {part.pixels.shape[1:]}, {train.name}"
                        f" of {train.pixels.shape[1:]}; data.size=32 resizes all to 32 x 32"
                    )
            for part in images.values():
                known = 0 if part.labels is None else sum(map(bool, label_words(part.labels)))
                if 0 < known < len(part.pixels):
                    without = f"{len(part.pixels) - known} of {len(part.pixels)} images"
                    inform(f"{part.name}: {without} have no label (empty, missing or below 0)")
            self._images = images
        return self._images


class RepeatedOrder(EpochOrder):
    """An order of several passes over the rows, each a permutation of its own."""

    def __init__(self, rows: Tensor, seed: int, passes: int) -> None:
        super().__init__(rows.repeat(passes), seed)
        self.passes = passes

    def permuted(self) -> Tensor:
        """Return the rows in the order of the present epoch, pass after pass."""
        rows = self.rows[: len(self.rows) // self.passes]
        generators = [
            np.random.default_rng([self.seed, self.epoch, number]) for number in range(self.passes)
        ]
        return torch.cat([rows[torch.from_numpy(one.permutation(len(rows)))] for one in generators])


def _resident(images: Images, state: ImageState) -> ResidentTensors:
    """Keep bytes as they are, which takes a quarter of the memory, and scale other values."""
    pixels = images.pixels
    state.check_range(pixels, images.name)
    if pixels.dtype == np.uint8 and state.low == 0:
        stored, unit = torch.from_numpy(np.array(pixels, order="C")), state.high
    else:
        stored, unit = torch.from_numpy(to_unit(pixels, state.low, state.high)), 1.0
    return ResidentTensors(stored, _numbered(images, state.classes), unit)


def _numbered(images: Images, classes: Sequence[str]) -> Tensor:
    """Number of each label among the classes; `UNKNOWN_LABEL` where it is none of them."""
    if images.labels is None:
        return torch.full((len(images.pixels),), UNKNOWN_LABEL)
    number = {name: place for place, name in enumerate(classes)}
    words = label_words(images.labels)
    return torch.tensor([number.get(word or "", UNKNOWN_LABEL) for word in words])


def _distinct(labels: Iterable[NDArray[Any] | None]) -> tuple[str, ...]:
    """Names of the labels that occur, numbers by their size, words by the alphabet."""
    words = {word for part in labels if part is not None for word in label_words(part)}
    found = {word for word in words if word}
    if all(word.lstrip("-").isdigit() for word in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))
