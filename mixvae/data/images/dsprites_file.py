"""dSprites' official 737,280 images: the data module, and a reader that never holds 3 GB of pixels.

The file lies in `<data root>/dsprites/`.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.fetch import AbstractDownloadedDataModule, RemoteFile
from mixvae.data.images.dsprites import (
    FACTOR_SIZES,
    FOLDER,
    AbstractDSpritesDataModule,
    Grid,
    Subset,
)

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
MD5 = "7da33b31b13a06f4b04a70402ce90c2e"
MIRRORS = (
    "https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/",
    "https://github.com/google-deepmind/dsprites-dataset/raw/master/",
)
WHOLE: Mapping[str, int] = dict.fromkeys(FACTOR_SIZES, 1)
IMAGE_SIZE = (64, 64)
CHUNK = 4096  # images that are unpacked at a time, 16 MB
PUT_RIGHT = (
    "Delete it and let it be downloaded again, or put the official file in its place"
    f" ({FILE} of github.com/google-deepmind/dsprites-dataset)"
)


class DSpritesDataModule(AbstractDownloadedDataModule, AbstractDSpritesDataModule):
    """dSprites as published, or a subset of it."""

    name = "dsprites"
    title = "dSprites"
    folder = Path(FOLDER)
    without_network = "python -m mixvae.train +experiment=dsprites_cpl data=dsprites_rendered"

    def __init__(
        self, *, subset: Subset = WHOLE, mirrors: Sequence[str] = MIRRORS, **shared: Any
    ) -> None:
        super().__init__(subset=subset, mirrors=mirrors, **shared)

    def missing_files(self) -> dict[RemoteFile, str]:
        """The one file, if it is missing."""
        path = self.path / FILE
        return {} if os.path.isfile(path) else {RemoteFile(FILE, MD5): str(path)}

    def read_packed(self, images: Grid) -> NDArray[np.uint8]:
        """Read the kept images of the file."""
        if self.missing_files():
            raise self.unavailable("prepare_data() was not called before setup()")
        return read_dsprites(self.path / FILE, images, MD5 if self.checksum else None)


def read_dsprites(
    path: Path,
    images: Grid,
    md5: str | None = MD5,
    sizes: Sequence[int] = tuple(FACTOR_SIZES.values()),
) -> NDArray[np.uint8]:
    """Read the images of a grid, flattened and packed, shape (N, 512).

    Args:
        images: The images to take, their rows ascending.
        md5: The file's md5; None takes any file of this layout.
        sizes: Number of values of each factor of the file, the colour left out.
    """
    if md5 is not None:
        _check_md5(path, md5)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for name in ("imgs.npy", "latents_classes.npy"):
                if name not in names:
                    raise ValueError(
                        f"{path} has no array {name.removesuffix('.npy')!r}, only"
                        f" {sorted(item.removesuffix('.npy') for item in names)}. {PUT_RIGHT}"
                    )
            with archive.open("latents_classes.npy") as file:
                _check_factors(path, np.lib.format.read_array(file, allow_pickle=False), sizes)
            with archive.open("imgs.npy") as file:
                return _read_images(path, file, images.rows, int(np.prod(sizes)))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is not a whole npz file: {error}. {PUT_RIGHT}") from error


def _check_md5(path: Path, md5: str) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != md5:
        raise ValueError(
            f"{path} is not the official file: expected md5 {md5}, found {digest.hexdigest()}"
            f" in {path.stat().st_size} bytes. {PUT_RIGHT};"
            " or set data.checksum=false for another file of this layout"
        )


def _check_factors(path: Path, classes: NDArray[np.int64], sizes: Sequence[int]) -> None:
    """Refuse factors in another order: rows are found by it."""
    expected = np.indices((1, *sizes)).reshape(1 + len(sizes), -1).T
    if classes.shape != expected.shape or not np.array_equal(classes, expected):
        raise ValueError(
            f"{path} holds other factors than dSprites: its 'latents_classes' of shape"
            f" {classes.shape} must be that of all combinations of {(1, *sizes)} values in"
            f" order, shape {expected.shape}. {PUT_RIGHT}"
        )


def _read_images(
    path: Path, file: IO[bytes], rows: NDArray[np.int64], num_images: int
) -> NDArray[np.uint8]:
    np.lib.format.read_magic(file)
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if shape != (num_images, *IMAGE_SIZE) or dtype != np.uint8 or fortran_order:
        raise ValueError(
            f"{path} holds 'imgs' of shape {shape} and type {dtype}; expected"
            f" {(num_images, *IMAGE_SIZE)} and uint8. {PUT_RIGHT}"
        )
    size = int(np.prod(IMAGE_SIZE))
    packed = np.empty((len(rows), size // 8), dtype=np.uint8)
    for start in range(0, num_images, CHUNK):
        count = min(CHUNK, num_images - start)
        content = file.read(count * size)
        if missing := count * size - len(content):
            raise EOFError(f"{missing} bytes of pixels are missing")
        pixels = np.frombuffer(content, dtype=np.uint8)
        first, last = np.searchsorted(rows, [start, start + count])
        chosen = pixels.reshape(count, size)[rows[first:last] - start]
        if chosen.max(initial=0) > 1:
            raise ValueError(
                f"{path} holds the pixel {chosen.max()}; pixels must be 0 or 1. {PUT_RIGHT}"
            )
        packed[first:last] = np.packbits(chosen, axis=1)
    return packed
