"""AnnData files: opened with clear errors, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

INSTALL = "pip install mixvae[cells]"


def require_anndata() -> ModuleType:
    """Import anndata.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed; the message says how to install it.
    """
    try:
        import anndata
    except ImportError as error:
        raise ImportError(f"cells need anndata, which is not installed: {INSTALL}") from error
    return anndata


def require_scanpy() -> ModuleType:
    """Import scanpy.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed; the message says how to install it.
    """
    try:
        import scanpy
    except ImportError as error:
        raise ImportError(f"this needs scanpy, which is not installed: {INSTALL}") from error
    return scanpy


def check_free_path(path: Path, overwrite: bool) -> None:
    """Refuse a file that is there and may not be replaced, or a folder that cannot be written to.

    Args:
        path: File to write later.
        overwrite: Whether a file that is there may be replaced.

    Raises:
        ValueError: If the file is there and may not be replaced, or is a folder.
        OSError: If its folder does not exist or may not be written to.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file, such as {path / 'cells.h5ad'}")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; choose another name, or set overwrite=true")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder} to write {path.name} to; make it first")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} may not be written to; choose another folder")


def write_atomically(adata: Any, path: Path) -> None:
    """Write an AnnData object under another name and rename it, so that no half file is left.

    Args:
        adata: The AnnData object.
        path: File to write; one that is there is replaced.
    """
    path = path.absolute()
    handle, name = tempfile.mkstemp(suffix=".h5ad", prefix=f".{path.stem}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        adata.write_h5ad(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp lets nobody else read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
