"""Draws dSprites' grid afresh: squares, ellipses and hearts, binary, on 64 x 64 pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mixvae.data.dsprites_grid import FACTOR_SIZES, Grid

Inside = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]

IMAGE_SIZE = 64
SQUARE_HALF_SIDE = 8.75
ELLIPSE_HALF_AXES = (13.0, 7.0)
HEART_UNIT = 8.9
HEART_AREA = 3.661972725
"""Area within (u^2 + v^2 - 1)^3 = u^2 v^3."""
RADIUS = 16  # of a drawing, in whole pixels around the one in its centre; no sprite reaches further
FIRST_CENTRE = 16  # pixel of the first position; a step is one pixel, which puts the last at 47
SUBPIXELS = 8  # in each direction; a pixel is 1 where the sprite covers at least half of it


def _in_square(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.maximum(np.abs(u), np.abs(v)) <= SQUARE_HALF_SIDE


def _in_ellipse(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (u / ELLIPSE_HALF_AXES[0]) ** 2 + (v / ELLIPSE_HALF_AXES[1]) ** 2 <= 1


def _in_heart(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    u, v = u / HEART_UNIT, -v / HEART_UNIT  # rows of an image count downwards
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


INSIDE: tuple[Inside, ...] = (_in_square, _in_ellipse, _in_heart)
"""Whether points, in pixels from the centre at scale 1, lie within each shape."""


def scale_of(value: int) -> float:
    """The factor on the size, .5 to 1."""
    return 0.5 + 0.5 * value / (FACTOR_SIZES["scale"] - 1)


def angle_of(value: int) -> float:
    """The orientation in radians, 0 to 2 pi, both of which are in the grid, as in the original."""
    return 2 * np.pi * value / (FACTOR_SIZES["orientation"] - 1)


def draw(shape: int, scale: int, orientation: int) -> NDArray[np.uint8]:
    """Draw a sprite in the middle of 33 x 33 pixels.

    Args:
        shape: Value of the shape.
        scale: Value of the scale.
        orientation: Value of the orientation.

    Returns:
        Pixels 0 or 1, shape (33, 33), rows downwards.
    """
    size = 2 * RADIUS + 1
    points = (np.arange(size * SUBPIXELS) + 0.5) / SUBPIXELS - size / 2
    x, y = points[None, :], points[:, None]
    angle, factor = angle_of(orientation), scale_of(scale)
    u = (np.cos(angle) * x + np.sin(angle) * y) / factor
    v = (np.cos(angle) * y - np.sin(angle) * x) / factor
    inside = INSIDE[shape](u, v).reshape(size, SUBPIXELS, size, SUBPIXELS)
    return (inside.mean(axis=(1, 3)) >= 0.5).astype(np.uint8)


def render(images: Grid) -> NDArray[np.uint8]:
    """Draw the images of a grid, flattened and packed, eight pixels in a byte.

    Args:
        images: What to draw.

    Returns:
        Packed images, shape (N, 512), in the order of the grid.
    """
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
