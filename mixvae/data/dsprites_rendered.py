"""dSprites drawn by ourselves, for machines without the official file and its download."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixvae.data.base import Split
from mixvae.data.dsprites_base import FOLDER, AbstractDSpritesDataModule
from mixvae.data.dsprites_grid import Grid, Subset, grid
from mixvae.data.dsprites_sprites import render
from mixvae.data.fetch import data_root

VERSION = 1  # of the drawings; a kept file of another one is drawn afresh
SMALL: Mapping[str, int] = {"shape": 1, "scale": 1, "orientation": 4, "x": 4, "y": 4}

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error)

_log = logging.getLogger(__name__)


class RenderedDSpritesDataModule(AbstractDSpritesDataModule):
    """dSprites' factor grid, drawn by `dsprites_sprites` and kept in the data root for next time.

    The sprites' sizes are our choice, so a figure on these images is none on dSprites.
    """

    def __init__(
        self,
        seed: int,
        root: str | Path | None = None,
        subset: Subset = SMALL,
        label_factor: str = "shape",
        batch_size: int = 250,
        test_fraction: float = 0.1,
        val_fraction: float = 0.1,
        eval_batch_size: int = 1000,
        predict_split: Split = "test",
    ) -> None:
        """Check the settings, see `AbstractDSpritesDataModule`; nothing is drawn yet."""
        super().__init__(
            "dsprites_rendered",
            seed,
            root,
            subset,
            label_factor,
            batch_size,
            test_fraction,
            val_fraction,
            eval_batch_size,
            predict_split,
        )

    def prepare_data(self) -> None:
        """Draw the images and keep them, where that has not been done and the folder allows it.

        Raises:
            ValueError: If the data root is a file.
        """
        images = grid(self.values)
        path = self._path()
        if _read(path, images) is None:
            try:
                _write(path, self._settings(), render(images))
            except OSError as error:
                _log.info("the drawn images are not kept: %s", error)

    def read_packed(self, images: Grid) -> NDArray[np.uint8]:
        """The kept images, or the images drawn, where they could not be kept."""
        kept = _read(self._path(), images)
        return render(images) if kept is None else kept

    def _settings(self) -> str:
        return json.dumps({"version": VERSION, "values": self.values})

    def _path(self) -> Path:
        digest = hashlib.md5(self._settings().encode(), usedforsecurity=False).hexdigest()
        sizes = "x".join(str(len(kept)) for kept in self.values)
        return data_root(self.root) / FOLDER / f"rendered_{sizes}_{digest[:8]}.npz"


def _read(path: Path, images: Grid) -> NDArray[np.uint8] | None:
    """The packed images of a file, None where it is not there or not whole."""
    if not os.path.isfile(path):
        return None
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            packed: NDArray[np.uint8] = file["packed"]
    except (OSError, ValueError, KeyError, EOFError, TypeError, *BROKEN_ZIP) as error:
        _log.warning("%s cannot be read (%s); its images are drawn afresh", path, error)
        return None
    return packed if packed.shape == (len(images.rows), 512) else None


def _write(path: Path, settings: str, packed: NDArray[np.uint8]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, packed=packed, settings=np.array(settings))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
