"""Composes views of digits on pictures, as Translated PolyMNIST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixvae.data.images.image_arrays import resized
from mixvae.spacing import spaced

SIDE = 28
PICTURE_SIDE = 256


@dataclass(frozen=True)
class Views:
    """Views of N digits.

    Attributes:
        views: M arrays (N, 3, 28, 28), uint8.
        label: Digits, shape (N,), int64.
    """

    views: list[np.ndarray]
    label: np.ndarray

    def spread(self, count: int | None) -> Views:
        """So many of them, evenly spaced; all for None."""
        rows = spaced(len(self.label), count)
        return Views([view[rows] for view in self.views], self.label[rows])


def compose_views(
    images: np.ndarray,
    label: np.ndarray,
    pictures: list[np.ndarray],
    seed: int,
    digit_side: int = 21,
) -> Views:
    """Make a view of each digit for each picture.

    Args:
        images: Digits, shape (N, H, W), uint8.
        label: Digits, shape (N,).
        pictures: M pictures (H, W, 3), uint8, of at least 28 pixels each way.
        digit_side: Pixels of a digit, at most 28; it is moved by 0 to 28 - digit_side.

    Source:
        mmvmvae's generator: digit shrunk to 21 pixels (bilinear), moved by 0 to 7, binarised above
        128, and c -> 1 - c there; its offsets of up to 20, of which most fail, are not ours.
        PolyMNIST (Sutter et al. 2021) has digits of 28 pixels.
    """
    size = (digit_side, digit_side)
    small = resized(images[:, None].astype(np.float32), size)[:, 0] > 128
    views = []
    for m, picture in enumerate(pictures):
        random = np.random.default_rng([seed, m])
        order = np.empty(len(label), dtype=np.int64)
        for digit in np.unique(label):
            rows = np.flatnonzero(label == digit)
            order[rows] = random.permutation(rows)
        views.append(_on_picture(small[order], picture, random))
    return Views(views, np.asarray(label, dtype=np.int64))


def synthetic_pictures(count: int) -> list[np.ndarray]:
    """Textures with the spectrum of photographs and colours of their own, (256, 256, 3) uint8.

    Source:
        Ours, in place of the five photographs of the public set. Amplitudes fall as 1 / frequency,
        as those of natural images (Field 1987).
    """
    frequency = np.hypot(np.fft.fftfreq(PICTURE_SIDE)[:, None], np.fft.fftfreq(PICTURE_SIDE))
    frequency[0, 0] = np.inf
    pictures = []
    for m in range(count):
        random = np.random.default_rng([7, m])
        noise = random.normal(size=(PICTURE_SIDE, PICTURE_SIDE, 3))
        spectrum = np.fft.fft2(noise, axes=(0, 1)) / frequency[..., None]
        smooth = np.fft.ifft2(spectrum, axes=(0, 1)).real
        mixed = smooth / smooth.std() @ random.normal(0, 0.7, (3, 3))
        colour = random.uniform(0.25, 0.75, 3)
        pictures.append((255 * np.clip(colour + 0.18 * mixed, 0, 1)).astype(np.uint8))
    return pictures


def _on_picture(ink: np.ndarray, picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Digits moved, and inverted on crops of a picture: (N, 3, 28, 28), uint8."""
    count, side, _ = ink.shape
    space = SIDE - side
    down, right = random.integers(0, space + 1, (2, count))
    top = random.integers(0, picture.shape[0] - SIDE + 1, count)
    left = random.integers(0, picture.shape[1] - SIDE + 1, count)
    view = np.empty((count, 3, SIDE, SIDE), dtype=np.uint8)
    crops = np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE), axis=(0, 1))
    for n in range(count):
        view[n] = crops[top[n], left[n]]
        rows = slice(down[n], down[n] + side)
        columns = slice(right[n], right[n] + side)
        part = view[n, :, rows, columns]
        part[:, ink[n]] = 255 - part[:, ink[n]]
    return view


def read_folder(root: Path, part: str, num_views: int) -> Views:
    """Read `<root>/<part>/m<k>/<i>.<digit>.png`; the same i and digit are one event."""
    views, first = [], None
    for m in range(num_views):
        folder = root / part / f"m{m}"
        if not folder.is_dir():
            raise FileNotFoundError(
                f"there is no folder {folder}: data.path must hold train/m0, test/m0, ... up to"
                f" m{num_views - 1}, with files <number>.<digit>.png"
            )
        files = {_key(file): file for file in folder.glob("*.png")}
        keys = sorted(files)
        if not keys:
            raise ValueError(f"{folder} holds no file <number>.<digit>.png")
        if first is not None and keys != first:
            odd = sorted(set(keys) ^ set(first))[0]
            raise ValueError(
                f"{folder} and {root / part / 'm0'} differ in their files: {odd[0]}.{odd[1]}.png is"
                " in one of them only"
            )
        first = keys
        views.append(np.stack([_read_view(files[key]) for key in keys]))
    assert first is not None
    return Views(views, np.array([digit for _, digit in first], dtype=np.int64))


def read_pictures(files: Sequence[str]) -> list[np.ndarray]:
    """Read pictures as arrays (H, W, 3), uint8, of at least 28 pixels each way."""
    pictures = []
    for file in files:
        picture = read_picture(Path(file).expanduser())
        if min(picture.shape[:2]) < SIDE:
            raise ValueError(f"{file} has {picture.shape[:2]} pixels; a background needs {SIDE}")
        pictures.append(picture)
    return pictures


def _key(file: Path) -> tuple[int, int]:
    number, _, digit = file.stem.partition(".")
    if not (number.isdigit() and digit.isdigit() and len(digit) == 1):
        raise ValueError(f"{file} is not called <number>.<digit>.png")
    return int(number), int(digit)


def _read_view(file: Path) -> np.ndarray:
    view = read_picture(file)
    if view.shape != (SIDE, SIDE, 3):
        raise ValueError(f"{file} has the shape {view.shape}; views are {SIDE} x {SIDE} in colour")
    return view.transpose(2, 0, 1)


def read_picture(file: Path) -> np.ndarray:
    """Read a picture in colour, (H, W, 3), uint8; raise an error that names it."""
    from PIL import Image, UnidentifiedImageError

    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{file} is no picture, or damaged: {error}") from error
