"""AnnData files: the optional packages that read them, and checks before one is read or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

INSTALL = "pip install mixvae[cells]"
State = tuple[int, int, int]


class UnsuitableError(ValueError):
    """The file is whole, but its content is not what is asked for."""


def require_anndata() -> ModuleType:
    """Import anndata; the `ImportError` says how to install it."""
    return _required("anndata")


def require_scanpy() -> ModuleType:
    """Import scanpy; the `ImportError` says how to install it."""
    return _required("scanpy")


def require_for(name: str, what: str) -> ModuleType:
    """Import a package that reads one format; the `ImportError` says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{what} need {name}, which is not installed: pip install {name}"
        ) from error


def _required(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"cells need {name}, which is not installed: {INSTALL}") from error


def short_name(path: Path) -> str:
    """The name of a file or folder without its ending."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name


def short_names(paths: Sequence[Path]) -> list[str]:
    """Short names of files; of files of one name, with the folders by which they differ."""
    names = [short_name(path) for path in paths]
    if len(set(names)) == len(names):
        return names
    whole = [path.expanduser().absolute() for path in paths]
    common = os.path.commonpath([path.parent for path in whole])
    folders = [path.parent.relative_to(common).parts for path in whole]
    names = ["_".join([*own, name]) for own, name in zip(folders, names, strict=True)]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def state_of(path: Path) -> State:
    """Return what changes when a file is written to: its identity, size and time.

    In a folder, a zarr store, files are replaced as wholes, which changes the time of their folder.
    """
    about = path.stat()
    if not path.is_dir():
        return about.st_ino, about.st_size, about.st_mtime_ns
    times = [Path(folder).stat().st_mtime_ns for folder, _, _ in os.walk(path)]
    return about.st_ino, len(times), max(times)


def check_unchanged(path: Path, before: State) -> None:
    """Refuse a file that was written to, replaced or removed since `before`."""
    if not path.exists() or state_of(path) != before:
        raise ValueError(
            f"{path} was changed while it was read; wait until it is written, or read a copy"
        )


def check_free_path(path: Path, overwrite: bool) -> None:
    """Refuse an output file that may not be replaced, or whose folder cannot be written to."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file, such as {path / 'cells.h5ad'}")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; choose another name, or set overwrite=true")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder} to write {path.name} to; make it first")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} may not be written to; choose another folder")
