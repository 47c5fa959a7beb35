"""dSprites: 737,280 binary images of 64 x 64 pixels, from the official file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixvae.data.base import Split
from mixvae.data.checks import check_seconds
from mixvae.data.dsprites_base import FOLDER, AbstractDSpritesDataModule
from mixvae.data.dsprites_file import MD5, read_dsprites
from mixvae.data.dsprites_grid import FACTOR_SIZES, Grid, Subset
from mixvae.data.fetch import FetchError, RemoteFile, data_root, fetch

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
MIRRORS = (
    "https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/",
    "https://github.com/google-deepmind/dsprites-dataset/raw/master/",
)
WITHOUT_NETWORK = "python -m mixvae.train +experiment=dsprites_cpl data=dsprites_rendered"
WHOLE: Mapping[str, int] = dict.fromkeys(FACTOR_SIZES, 1)


class DSpritesDataModule(AbstractDSpritesDataModule):
    """dSprites as published, or a subset of it; the file lies in `<root>/dsprites/`."""

    def __init__(
        self,
        seed: int,
        root: str | Path | None = None,
        download: bool = True,
        checksum: bool = True,
        subset: Subset = WHOLE,
        label_factor: str = "shape",
        batch_size: int = 250,
        test_fraction: float = 0.1,
        val_fraction: float = 0.1,
        eval_batch_size: int = 1000,
        predict_split: Split = "test",
        mirrors: Sequence[str] = MIRRORS,
        timeout: float = 10.0,
    ) -> None:
        """Check the settings; nothing is read or downloaded yet.

        Args:
            seed: Seed of the validation split and of the order of training.
            root: Data root; None takes MIXVAE_DATA_DIR, or else the user's cache folder.
            download: Whether a missing file may be downloaded.
            checksum: Whether the file must be the official one, by md5.
            subset: What to keep of each factor: n keeps every n-th value, a list these values.
            label_factor: The factor that is the label.
            batch_size: Training samples per step, over all processes.
            test_fraction: Share of the images that tests, in (0, 1).
            val_fraction: Share of the rest that validates, in (0, 1).
            eval_batch_size: Largest number of samples per evaluation step.
            predict_split: Split that is tested and predicted after training.
            mirrors: Addresses that the file's name is appended to, tried in turn.
            timeout: Seconds to wait for a mirror's next bytes.

        Raises:
            ValueError: If a setting is out of its range.
        """
        super().__init__(
            "dsprites",
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
        check_seconds("timeout", timeout)
        self.download = download
        self.checksum = checksum
        self.mirrors = tuple(mirrors)
        self.timeout = timeout

    def prepare_data(self) -> None:
        """Download the file if it is not there.

        Raises:
            ValueError: If the data root is a file, or the file is missing and it is not writable.
            FetchError: If the file is missing and no mirror gives it.
        """
        folder = data_root(self.root) / FOLDER
        if os.path.isfile(folder / FILE):
            return
        if not self.download:
            raise _unavailable(folder, "downloading is switched off (data.download=false)")
        try:
            remote = RemoteFile(FILE, MD5 if self.checksum else None)
            fetch([remote], folder, self.mirrors, self.timeout)
        except FetchError as error:
            raise _unavailable(folder, str(error)) from error

    def read_packed(self, images: Grid) -> NDArray[np.uint8]:
        """Read the kept images of the file."""
        path = data_root(self.root) / FOLDER / FILE
        if not os.path.isfile(path):
            raise _unavailable(path.parent, "prepare_data() was not called before setup()")
        return read_dsprites(path, images, MD5 if self.checksum else None)


def _unavailable(folder: Path, failures: str) -> FetchError:
    """One message: where the file was looked for, what failed, and what works without it."""
    failed = "\n".join(f"  {line}" for line in failures.splitlines())
    return FetchError(
        f"dSprites was not found and not downloaded. Looked for\n  {folder / FILE}\n"
        f"What failed\n{failed}\n"
        "Put the file there, or set data_root or MIXVAE_DATA_DIR to the folder that holds"
        f" {FOLDER}. The same experiment on images that need no download:\n  {WITHOUT_NETWORK}"
    )
