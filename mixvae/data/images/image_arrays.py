"""Arrays of images: layout, size and range of the values; checks that name the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.data.base import find_state
from mixvae.messages import inform

Channels = Literal["first", "last"]
COLOURS = (1, 3, 4)  # grey, colour, colour with transparency
KEYS = ("image_shape", "low", "high", "classes")
RESIZED_AT_ONCE = 1000
SHAPES = "(N, height, width), (N, channels, height, width) or (N, height, width, channels)"


@dataclass(frozen=True)
class ImageState:
    """The properties of a run's images that others must have to go through its model.

    Attributes:
        shape: (channels, height, width).
        low: Value of the files that becomes 0.
        high: Value that becomes 1.
        classes: Names of the classes, in the order of their numbers.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    classes: tuple[str, ...] = ()

    @classmethod
    def find(cls, checkpoint: Mapping[str, Any]) -> ImageState | None:
        """Find it in a checkpoint as Lightning writes it; None in one of other data."""
        state = find_state(checkpoint, KEYS)
        return None if state is None else cls.from_plain(state)

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> ImageState:
        """Take back what `as_plain` gave."""
        shape, classes = tuple(state["image_shape"]), tuple(state["classes"])
        return cls(shape, float(state["low"]), float(state["high"]), classes)

    def as_plain(self) -> dict[str, Any]:
        """Plain values, as a checkpoint may hold."""
        values = (list(self.shape), self.low, self.high, list(self.classes))
        return dict(zip(KEYS, values, strict=True))

    def check_shape(self, shape: Sequence[int], name: str) -> None:
        """Refuse images of another shape than the run's."""
        if tuple(shape) != self.shape:
            height, width = self.shape[1:]
            remedy = f"data.size=[{height},{width}] resizes them"
            if shape[0] != self.shape[0]:
                remedy = f"give images of {self.shape[0]} channels"
            raise ValueError(
                f"{name} has images of {described(shape)}, but the run was trained on"
                f" {described(self.shape)}; {remedy}"
            )

    def check_range(self, images: NDArray[Any], name: str) -> None:
        """Refuse values that must be of another unit than the run's, and would be clipped to it."""
        low, high, span = float(images.min()), float(images.max()), self.high - self.low
        beyond = low < self.low - span or high > self.high + span
        if beyond or self.low < 0 <= low or 0 < high < self.high / 100:
            raise ValueError(
                f"{name} has pixel values from {low:g} to {high:g}, but the training images have"
                f" {self.low:g} to {self.high:g}; scale them alike"
            )


def described(shape: Sequence[int]) -> str:
    """Describe a shape (channels, height, width)."""
    channels = "1 channel" if shape[0] == 1 else f"{shape[0]} channels"
    return f"{shape[1]} x {shape[2]} pixels, {channels}"


def channels_first(images: NDArray[Any], channels: Channels | None, name: str) -> NDArray[Any]:
    """Return images as (N, C, H, W); where their channels lie is guessed unless it is given.

    Args:
        images: Shape (N, H, W), (N, C, H, W) or (N, H, W, C).
    """
    if images.ndim not in (3, 4) or 0 in images.shape:
        advice = ""
        if images.ndim == 2 and images.shape[1] > 0:
            for colours, text in ((1, ""), (3, "3, ")):
                side = round((images.shape[1] / colours) ** 0.5)
                if colours * side * side == images.shape[1]:
                    advice = f": images.reshape(-1, {text}{side}, {side})"
        raise ValueError(
            f"{name} has the shape {images.shape}; images have the shape {SHAPES}{advice}"
        )
    if images.ndim == 3:
        return images[:, None]
    if channels is None:
        first, last = images.shape[1] in COLOURS, images.shape[3] in COLOURS
        if not first and not last:
            raise ValueError(
                f"{name} has the shape {images.shape}, in which neither axis 1 nor the last has 1,"
                " 3 or 4 channels; say where they lie: data.channels=first or last"
            )
        channels = "first" if first else "last"
        inform(
            f"{name} has the shape {images.shape}: channels taken to lie {channels}"
            f" (data.channels={'last' if first else 'first'} says otherwise)"
        )
    return images if channels == "first" else np.moveaxis(images, 3, 1)


def check_images(images: NDArray[Any], name: str) -> None:
    """Refuse values that are not numbers, naming the first image that has one."""
    if images.dtype.kind not in "buif":
        raise ValueError(f"{name} holds {images.dtype}, not numbers")
    if images.dtype.kind == "f":
        wrong = ~np.isfinite(images.reshape(len(images), -1).sum(axis=1, dtype=np.float64))
        if wrong.any():
            raise ValueError(
                f"{name} holds values that are NaN or infinite in {int(wrong.sum())} of"
                f" {len(images)} images, the first in image {int(wrong.argmax())} (from 0); leave"
                " them out, or replace the values"
            )


def coloured(images: NDArray[Any], channels: int | None) -> NDArray[Any]:
    """Grey images, shape (N, 1, H, W), as (N, 3, H, W) if there are 3 channels; others as is."""
    return np.repeat(images, 3, axis=1) if (images.shape[1], channels) == (1, 3) else images


def resized(images: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """Resize images, shape (N, C, H, W), to (height, width), with averaging; keeps the type."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    parts = []
    for start in range(0, len(images), RESIZED_AT_ONCE):
        part = torch.from_numpy(images[start : start + RESIZED_AT_ONCE].astype(np.float32))
        part = torch.nn.functional.interpolate(part, tuple(size), mode="bilinear", antialias=True)
        array = part.numpy()
        parts.append((array if images.dtype.kind == "f" else array.round()).astype(images.dtype))
    return np.concatenate(parts)


def value_range(images: NDArray[Any], name: str) -> tuple[float, float]:
    """Return the values that become 0 and 1: 0 to 1 is kept, else 0 or the least to the largest."""
    low, high = float(images.min()), float(images.max())
    if low == high:
        raise ValueError(f"{name} holds the same value {low:g} in every pixel")
    if images.dtype.kind == "f" and low >= 0 and 1 / 255 <= high <= 1:
        return 0.0, 1.0
    low = min(low, 0.0)
    if (low, high) != (0.0, 255.0):
        inform(f"{name}: pixel values from {low:g} to {high:g} become 0 to 1")
    return low, high


def to_unit(images: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Scale values so that `low` becomes 0 and `high` 1; others are clipped to that range."""
    scaled = (images.astype(np.float32) - low) / (high - low)
    return np.clip(scaled, np.float32(0), np.float32(1))
