"""AnnData files: the optional packages that read them, and checks before one is read or written."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

INSTALL = "pip install mixvae[cells]"


def require_anndata() -> ModuleType:
    """Import anndata; the `ImportError` says how to install it."""
    return _required("anndata")


def require_scanpy() -> ModuleType:
    """Import scanpy; the `ImportError` says how to install it."""
    return _required("scanpy")


def _required(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"cells need {name}, which is not installed: {INSTALL}") from error


def read_cells(path: Path) -> Any:
    """Read an .h5ad file into an AnnData object; sparse stays sparse."""
    anndata = require_anndata()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name an .h5ad file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return anndata.read_h5ad(path)
    # anndata's reader fails with many kinds of errors.
    except Exception as error:
        raise ValueError(
            f"{path} is not an AnnData file (.h5ad), or damaged or truncated: {error}"
        ) from error


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
