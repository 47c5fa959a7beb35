"""The base of data modules whose files are downloaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvae.data.base import AbstractResidentDataModule
from mixvae.data.checks import check_seconds
from mixvae.data.fetch import FetchError, RemoteFile, data_root, fetch


class AbstractDownloadedDataModule(AbstractResidentDataModule, ABC):
    """A data module that downloads the missing files of a data set from its mirrors.

    Args:
        mirrors: Addresses that a file's name is appended to, tried in turn.
        download: Whether missing files may be downloaded.
        checksum: Whether files must be the official ones, by md5; without, any of their layout do.
        timeout: Seconds to wait for a mirror's next bytes.
        **shared: See the class above.
    """

    title: str
    """Name of the data set, for messages."""
    folder: Path
    """Folder of the files, below the data root."""
    without_network: str
    """A command that needs no download."""
    root: str | Path | None

    def __init__(
        self,
        *,
        mirrors: Sequence[str],
        download: bool = True,
        checksum: bool = True,
        timeout: float = 10.0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        check_seconds("timeout", timeout)
        self.mirrors = tuple(mirrors)
        self.download = download
        self.checksum = checksum
        self.timeout = timeout

    @abstractmethod
    def missing_files(self) -> dict[RemoteFile, str]:
        """The missing files as mirrors offer them, each with the places where it was looked for."""

    @property
    def path(self) -> Path:
        """The folder of the files."""
        return data_root(self.root) / self.folder

    def prepare_data(self) -> None:
        """Download the missing files, or raise a FetchError that names them."""
        missing = self.missing_files()
        if not missing:
            return
        if not self.download:
            raise self.unavailable("downloading is switched off (data.download=false)")
        files = [file if self.checksum else RemoteFile(file.name, None) for file in missing]
        try:
            fetch(files, self.path, self.mirrors, self.timeout)
        except FetchError as error:
            raise self.unavailable(str(error)) from error

    def unavailable(self, failures: str) -> FetchError:
        """One message: the missing files, the failures, and a command that needs no download."""
        looked = "\n".join(f"  {places}" for places in self.missing_files().values())
        failed = "\n".join(f"  {line}" for line in failures.splitlines())
        return FetchError(
            f"{self.title} was not found and not downloaded. Looked for\n{looked}\nWhat failed\n"
            f"{failed}\nPut the files there, or set data_root or MIXVAE_DATA_DIR to the folder that"
            f" holds {self.folder}. Without a download:\n  {self.without_network}"
        )
