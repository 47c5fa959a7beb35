"""dSprites' grid drawn by mixvae itself, for machines without the official file: no download.

The sprites' sizes are our choice: results on these images are not results on dSprites.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mixvae.data.fetch import data_root
from mixvae.data.images.dsprites import (
    FACTOR_SIZES,
    FOLDER,
    AbstractDSpritesDataModule,
    Grid,
    Subset,
    grid,
)
from mixvae.files import replacing
from mixvae.messages import inform, warn

VERSION = 1  # of the drawings; a kept file of another one is drawn afresh
SMALL: Mapping[str, int] = {"shape": 1, "scale": 1, "orientation": 4, "x": 4, "y": 4}
BROKEN = (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error)

IMAGE_SIZE = 64
SQUARE_HALF_SIDE = 8.75
ELLIPSE_HALF_AXES = (13.0, 7.0)
HEART_UNIT = 8.9
HEART_AREA = 3.661972725  # within (u^2 + v^2 - 1)^3 = u^2 v^3
RADIUS = 16  # of a drawing, in whole pixels around the one in its centre; no sprite reaches further
FIRST_CENTRE = 16  # pixel of the first position; a step is one pixel, which puts the last at 47
SUBPIXELS = 8  # in each direction; a pixel is 1 where the sprite covers at least half of it


class RenderedDSpritesDataModule(AbstractDSpritesDataModule):
    """dSprites' factor grid, drawn once and kept in the data root."""

    name = "dsprites_rendered"

    def __init__(self, *, subset: Subset = SMALL, **shared: Any) -> None:
        super().__init__(subset=subset, **shared)

    def prepare_data(self) -> None:
        """Draw the images and keep them, where that has not been done and the folder allows it."""
        images = grid(self.values)
        path = self._path()
        if _read(path, images) is None:
            packed, settings = render(images), np.array(self._settings())
            try:
                with replacing(path) as temporary:
                    np.savez_compressed(temporary, packed=packed, settings=settings)
            except OSError as error:
                inform(f"the drawn images are not kept: {error}")

    def read_packed(self, images: Grid) -> NDArray[np.uint8]:
        """Read the kept images, or draw them where they could not be kept."""
        kept = _read(self._path(), images)
        return render(images) if kept is None else kept

    def _settings(self) -> str:
        return json.dumps({"version": VERSION, "values": self.values})

    def _path(self) -> Path:
        digest = hashlib.md5(self._settings().encode(), usedforsecurity=False).hexdigest()
        sizes = "x".join(str(len(kept)) for kept in self.values)
        return data_root(self.root) / FOLDER / f"rendered_{sizes}_{digest[:8]}.npz"


def _read(path: Path, images: Grid) -> NDArray[np.uint8] | None:
    """The packed images of a file, None where it is missing or not whole."""
    if not os.path.isfile(path):
        return None
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            packed: NDArray[np.uint8] = file["packed"]
    except BROKEN as error:
        warn(f"{path} cannot be read ({error}); its images are drawn afresh")
        return None
    return packed if packed.shape == (len(images.rows), 512) else None


def _in_square(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.maximum(np.abs(u), np.abs(v)) <= SQUARE_HALF_SIDE


def _in_ellipse(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (u / ELLIPSE_HALF_AXES[0]) ** 2 + (v / ELLIPSE_HALF_AXES[1]) ** 2 <= 1


def _in_heart(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    u, v = u / HEART_UNIT, -v / HEART_UNIT  # rows of an image count downwards
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


Inside = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]
INSIDE: tuple[Inside, ...] = (_in_square, _in_ellipse, _in_heart)
"""Whether points, in pixels from the centre at scale 1, lie within each shape."""


def scale_of(value: int) -> float:
    """The factor on the size, .5 to 1."""
    return 0.5 + 0.5 * value / (FACTOR_SIZES["scale"] - 1)


def angle_of(value: int) -> float:
    """The orientation in radians, 0 to 2 pi, both of which are in the grid, as in the original."""
    return 2 * np.pi * value / (FACTOR_SIZES["orientation"] - 1)


def draw(shape: int, scale: int, orientation: int) -> NDArray[np.uint8]:
    """Draw a sprite, given by the values of its factors, in the middle of 33 x 33 pixels 0 or 1."""
    size = 2 * RADIUS + 1
    points = (np.arange(size * SUBPIXELS) + 0.5) / SUBPIXELS - size / 2
    x, y = points[None, :], points[:, None]
    angle, factor = angle_of(orientation), scale_of(scale)
    u = (np.cos(angle) * x + np.sin(angle) * y) / factor
    v = (np.cos(angle) * y - np.sin(angle) * x) / factor
    inside = INSIDE[shape](u, v).reshape(size, SUBPIXELS, size, SUBPIXELS)
    return (inside.mean(axis=(1, 3)) >= 0.5).astype(np.uint8)


def render(images: Grid) -> NDArray[np.uint8]:
    """Draw the images of a grid, flattened and packed, shape (N, 512)."""
    return np.concatenate(list(_packed_by_sprite(images)))


def _packed_by_sprite(images: Grid) -> Iterator[NDArray[np.uint8]]:
    """The images of one shape, scale and orientation after the other, at all positions."""
    shapes, scales, orientations, xs, ys = images.values
    last = FIRST_CENTRE + max(FACTOR_SIZES["x"], FACTOR_SIZES["y"]) - 1
    before, after = last - RADIUS, IMAGE_SIZE - 1 - FIRST_CENTRE - RADIUS
    # Every position is a window of 64 x 64 on the drawing in a wide margin.
    rows = last - FIRST_CENTRE - np.asarray(ys)
    columns = last - FIRST_CENTRE - np.asarray(xs)
    for shape in shapes:
        for scale in scales:
            for orientation in orientations:
                drawing = np.pad(draw(shape, scale, orientation), (before, after))
                windows = sliding_window_view(drawing, (IMAGE_SIZE, IMAGE_SIZE))
                pixels = windows[rows[None, :], columns[:, None]]
                yield np.packbits(pixels.reshape(len(xs) * len(ys), -1), axis=1)
