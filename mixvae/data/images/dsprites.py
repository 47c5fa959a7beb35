"""dSprites' factor grid, its packed images, and the data module that both sources share.

`dsprites_file` has the official images, `dsprites_rendered` images that mixvae draws itself.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mixvae.contracts import Batch, DataSpec
from mixvae.data.base import AbstractResidentDataModule, Split, SplitRows
from mixvae.data.checks import check_fraction
from mixvae.data.resident import Resident

FACTOR_SIZES = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
"""The factors in the order of the official file, the last one changing fastest. Its first factor,
the colour, has one value and is left out."""
SHAPES = ("square", "ellipse", "heart")
FOLDER = "dsprites"
IMAGE_SHAPE = (1, 64, 64)

Subset = Mapping[str, int | Sequence[int]]
"""For each factor either n, which keeps every n-th value, or the values to keep, from 0."""


class Grid(NamedTuple):
    """The images that a subset keeps, in the order of the whole grid."""

    values: tuple[tuple[int, ...], ...]  # kept of each factor, from 0 in the whole grid, ascending
    rows: NDArray[np.int64]  # of each image in the whole grid, shape (N,), ascending
    factors: NDArray[np.int64]  # number of its value among the kept ones, shape (N, F)


def kept_values(subset: Subset) -> tuple[tuple[int, ...], ...]:
    """The values that a subset keeps of each factor, ascending; all of a factor not named."""
    for name in subset:
        _check_factor("subset", name)
    return tuple(_kept(name, size, subset.get(name, 1)) for name, size in FACTOR_SIZES.items())


def grid(values: Sequence[Sequence[int]]) -> Grid:
    """Every combination of the kept values of each factor, see `kept_values`."""
    sizes = [len(kept) for kept in values]
    factors = np.indices(sizes).reshape(len(sizes), -1).T
    whole = [np.asarray(kept)[factors[:, i]] for i, kept in enumerate(values)]
    rows = np.ravel_multi_index(whole, tuple(FACTOR_SIZES.values()))
    return Grid(tuple(map(tuple, values)), rows.astype(np.int64), factors.astype(np.int64))


@dataclass(frozen=True)
class PackedImages(Resident):
    """Binary images, eight pixels in a byte: all of dSprites take 0.4 GB of memory, not 3.

    Attributes:
        packed: Pixels as `numpy.packbits` packs a flattened image, shape (N, D / 8), uint8.
        shape: Shape of one image, of D pixels.
        label: Labels, shape (N,), int64.
        factors: Value of each factor, shape (N, F), int64.
        rows: Row of each image in its source, shape (N,), int64.
    """

    packed: Tensor
    shape: tuple[int, ...]
    label: Tensor
    factors: Tensor
    rows: Tensor

    def __post_init__(self) -> None:
        assert len({len(self.packed), len(self.label), len(self.factors), len(self.rows)}) == 1
        assert self.packed.shape[1] * 8 == math.prod(self.shape)

    def batch(self, rows: Tensor) -> Batch:
        """Cut the batch of these images, shape (B,), int64, on the device of the tensors."""
        shifts = torch.arange(7, -1, -1, device=rows.device)
        bits = torch.arange(256, device=rows.device)[:, None] >> shifts
        # A table of the 256 bytes' pixels: 4 times as fast as shifting every byte.
        table = (bits & 1).to(torch.float32)
        pixels = functional.embedding(self.packed.index_select(0, rows).int(), table)
        return Batch(
            x=pixels.view(len(rows), *self.shape),
            label=self.label.index_select(0, rows),
            index=self.rows.index_select(0, rows),
            factors=self.factors.index_select(0, rows),
        )

    def to(self, device: torch.device) -> PackedImages:
        """Return the same images on `device`."""
        moved = (tensor.to(device) for tensor in (self.label, self.factors, self.rows))
        return PackedImages(self.packed.to(device), self.shape, *moved)


class AbstractDSpritesDataModule(AbstractResidentDataModule, ABC):
    """Sprites of 64 x 64 binary pixels, one for every combination of the kept factor values.

    dSprites has no official split. Here the test images are drawn by `split_seed`, so results of
    different seeds are on the same images; the seed only parts validation from training.
    `Batch.index` is the row in the official file.

    Args:
        root: Data root; None takes MIXVAE_DATA_DIR, or else the user's cache folder.
        subset: For each factor n, which keeps every n-th value, or a list of values to keep.
        test_fraction: Share of the images that tests, in (0, 1).
    """

    name: str
    """Name of the data set, of the subclass."""

    def __init__(
        self,
        *,
        subset: Subset,
        root: str | Path | None = None,
        label_factor: str = "shape",
        test_fraction: float = 0.1,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_fraction("test_fraction", test_fraction)
        _check_factor("label_factor", label_factor)
        self.values = kept_values(subset)
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
        return self.drawn_splits(tensors, self.test_fraction)


def _check_factor(setting: str, name: str) -> None:
    if name not in FACTOR_SIZES:
        raise ValueError(
            f"{setting} names the unknown factor {name!r}; dSprites has {', '.join(FACTOR_SIZES)}"
        )


def _kept(name: str, size: int, choice: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(choice, int) and not isinstance(choice, bool):
        if choice < 1:
            raise ValueError(
                f"subset.{name} is {choice}; it must be 1 or more, to keep every so many-th value"
            )
        return tuple(range(0, size, choice))
    if isinstance(choice, str | bool) or not isinstance(choice, Sequence):
        raise ValueError(
            f"subset.{name} is {choice!r}; it must be a whole number n, which keeps every n-th"
            " value, or a list of the values to keep"
        )
    if not choice:
        raise ValueError(
            f"subset.{name} is empty, so the subset leaves no image; list at least one of the"
            f" values 0..{size - 1}, or give 1 for all"
        )
    for value in choice:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size:
            raise ValueError(
                f"subset.{name} holds {value!r}; the values of {name} are 0..{size - 1}"
            )
    return tuple(sorted(set(choice)))
