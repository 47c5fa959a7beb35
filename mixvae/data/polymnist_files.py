"""Reads PolyMNIST's public folders of PNG files, and pictures as backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixvae.data.polymnist_views import SIDE, Views


def read_folder(root: Path, part: str, num_views: int) -> Views:
    """Read `<root>/<part>/m<k>/<i>.<digit>.png`; the same i and digit are one event.

    Args:
        part: `train` or `test`.
    """
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
