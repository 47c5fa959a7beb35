"""Downloading files of a data set: several mirrors, checksums, and nothing half-written.

Files arrive in a hidden folder inside the destination and are moved, complete and checked, to
their names; two processes that download at once only replace a good file by the same good file.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PARTIAL_PREFIX = ".partial-"
STALE_AFTER = 3600.0  # seconds; no download of ours takes an hour
CONNECT_TIMEOUT = 3.0  # seconds for each address of a mirror

_log = logging.getLogger(__name__)


class RemoteFile(NamedTuple):
    """A file that mirrors offer: its name, and the md5 of its bytes (None: not checked)."""

    name: str
    md5: str | None


class FetchError(RuntimeError):
    """Data are neither on disk nor to be had from any mirror."""


def data_root(root: str | Path | None) -> Path:
    """Where the data of all data sets lie.

    Args:
        root: The folder that a user chose; None takes the environment variable
            `MIXVAE_DATA_DIR`, or else the user's cache folder.

    Returns:
        An absolute path, which may not exist yet.

    Raises:
        ValueError: If the path, or a folder on the way to it, is a file.
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
    files: Sequence[RemoteFile],
    folder: Path,
    mirrors: Sequence[str],
    timeout: float = 10.0,
) -> None:
    """Download all files into a folder, or none.

    Each mirror is asked in turn for what the ones before it could not give. A mirror that fails
    once is not asked again, so an unreachable network costs one timeout for each mirror.

    Args:
        files: The files to download.
        folder: Where they go; made if need be.
        mirrors: Addresses that a file's name is appended to.
        timeout: Seconds to wait for a mirror's next bytes.

    Raises:
        ValueError: If the folder cannot be made or written to; nothing was asked of the network.
        FetchError: If some file could be had from no mirror; the message has a line per mirror.
    """
    with _partial_folder(folder) as partial:
        missing, failures = list(files), []
        for mirror in mirrors:
            try:
                while missing:
                    _download(missing[0], mirror, partial, timeout)
                    missing.pop(0)
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                failures.append(f"{_address(missing[0], mirror)}: {_reason(error)}")
        if missing:
            raise FetchError("\n".join(failures) if failures else "no mirror is configured")
        for file in files:
            os.replace(partial / file.name, folder / file.name)


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """Make a hidden folder in `folder`; on failure also remove the parents made for it."""
    parents = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(f"no permission to write to {folder}")
            partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder))
        except OSError as error:
            raise ValueError(
                f"cannot write to the data folder {folder}: {error};"
                " set data_root or MIXVAE_DATA_DIR to a folder you may write to"
            ) from error
        _remove_stale(folder)
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except BaseException:
        for path in parents:
            with suppress(OSError):  # another process may have put its files there
                path.rmdir()
        raise


def _remove_stale(folder: Path) -> None:
    """Remove what a killed process left behind."""
    for path in folder.glob(f"{PARTIAL_PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_AFTER:
                shutil.rmtree(path, ignore_errors=True)


def _download(file: RemoteFile, mirror: str, partial: Path, timeout: float) -> None:
    import pooch  # slow to import, and needed on the first run only

    address, target = _address(file, mirror), partial / file.name
    _log.info("downloading %s", address)
    download = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=1 << 16,
        timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
    )
    download(address, str(target), None)
    if file.md5 is not None:
        found = pooch.file_hash(str(target), alg="md5")
        if found != file.md5:
            raise ValueError(
                f"expected md5 {file.md5}, found {found} in {target.stat().st_size} bytes"
            )


def _address(file: RemoteFile, mirror: str) -> str:
    return f"{mirror.rstrip('/')}/{file.name}"


def _reason(error: BaseException) -> str:
    """Say in one line what went wrong: the innermost cause, without requests' nested wrapping."""
    inner: BaseException = error
    while True:
        nested = getattr(inner, "reason", None) or next(iter(inner.args), None)
        if not isinstance(nested, BaseException):
            break
        inner = nested
    return f"{type(error).__name__}: {' '.join(str(inner).split())}"
