"""Files of a data set: where they lie, and their download by pooch from one of several mirrors."""

from __future__ import annotations

import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mixvae.data.base import AbstractResidentDataModule
from mixvae.data.checks import check_seconds

CONNECT_TIMEOUT = 3.0  # seconds for each address of a mirror

_log = logging.getLogger(__name__)


class RemoteFile(NamedTuple):
    """A file that mirrors offer: its name, and the md5 of its bytes (None: not checked)."""

    name: str
    md5: str | None


class FetchError(RuntimeError):
    """Data are missing on disk, and no mirror gives them."""


def data_root(root: str | Path | None) -> Path:
    """The folder of all data sets, absolute; it may not exist yet.

    Args:
        root: The folder that a user chose; None takes the environment variable
            `MIXVAE_DATA_DIR`, or else the user's cache folder.
    """
    chosen = root or os.environ.get("MIXVAE_DATA_DIR")
    if chosen:
        path = Path(chosen).expanduser().absolute()
    else:
        import pooch  # slow to import

        path = Path(pooch.os_cache("mixvae"))
    for folder in (path, *path.parents):
        if os.path.exists(folder) and not os.path.isdir(folder):
            raise ValueError(
                f"the data root {path} cannot be used: {folder} is a file, not a folder;"
                " set data_root or MIXVAE_DATA_DIR to a folder"
            )
    return path


def fetch(
    files: Sequence[RemoteFile], folder: Path, mirrors: Sequence[str], timeout: float = 10.0
) -> None:
    """Download files into a folder; each appears there complete and checked, or not at all.

    Each mirror is asked in turn for the files that the ones before it could not give. A mirror that
    fails once is not asked again, so an unreachable network costs one timeout for each mirror.

    Args:
        folder: Their folder, made if missing.
        mirrors: Addresses that a file's name is appended to.
        timeout: Seconds to wait for a mirror's next bytes.

    Raises:
        ValueError: If the folder cannot be made or written to, before the network is used.
        FetchError: If no mirror gives a file; the message has a line per mirror.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _make_writable(folder)
        _download(files, folder, mirrors, timeout)
    except BaseException:
        for path in made:
            with suppress(OSError):  # it holds a complete file
                path.rmdir()
        raise


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"no permission to write to {folder}")
    except OSError as error:
        raise ValueError(
            f"cannot write to the data folder {folder}: {error};"
            " set data_root or MIXVAE_DATA_DIR to a folder you may write to"
        ) from error


def _download(
    files: Sequence[RemoteFile], folder: Path, mirrors: Sequence[str], timeout: float
) -> None:
    import pooch  # slow to import, and needed on the first run only

    pooch.get_logger().setLevel(logging.WARNING)
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=1 << 16,
        timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
    )
    missing, failures = list(files), []
    for mirror in mirrors:
        try:
            while missing:
                name, md5 = missing[0]
                address = f"{mirror.rstrip('/')}/{name}"
                _log.info("downloading %s", address)
                known = None if md5 is None else f"md5:{md5}"
                pooch.retrieve(address, known, name, folder, downloader=downloader)
                missing.pop(0)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"{address}: {_reason(error)}")
    if missing:
        raise FetchError("\n".join(failures) if failures else "no mirror is configured")


def _reason(error: BaseException) -> str:
    """The innermost cause in one line, without requests' nested wrapping."""
    inner: BaseException = error
    while True:
        nested = getattr(inner, "reason", None) or next(iter(inner.args), None)
        if not isinstance(nested, BaseException):
            break
        inner = nested
    return f"{type(error).__name__}: {' '.join(str(inner).split())}"


class AbstractDownloadedDataModule(AbstractResidentDataModule, ABC):
    """A data module that downloads the missing files of a data set from its mirrors.

    Args:
        mirrors: Addresses that a file's name is appended to, tried in turn.
        checksum: Whether files must be the official ones, by md5; without, any of their layout do.
        timeout: Seconds to wait for a mirror's next bytes.
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
