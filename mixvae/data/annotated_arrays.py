"""Arrays in `.h5ad`, `.h5mu` and `.zarr` files, by their names in AnnData and MuData."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.cell_files import INSTALL

Named = tuple[np.ndarray, tuple[str, ...] | None]


def read_annotated(path: Path, key: str | None) -> Named:
    """Read one array of a file, dense, with the names of its observations.

    Args:
        key: `X` (the default), `layers/<name>`, `obsm/<name>` or `obs/<column>`; of MuData, with
            the modality before it, `rna/X`, or the modality alone, `rna`. Of a `.zarr` of plain
            arrays, the array's path.
    """
    try:
        from anndata.io import read_elem
    except ImportError as error:
        raise ImportError(f"{path.suffix} files need anndata, not installed: {INSTALL}") from error
    root = _opened(path)
    try:
        if not hasattr(root, "keys"):
            return np.asarray(root[...]), None
        group, inner = _located(path, root, key)
        if inner not in group:
            raise ValueError(f"{path} holds no {key or inner!r}; it has {_listed(group)}")
        values = read_elem(group[inner])
        ids = _ids(group, read_elem)
        return _dense(path, inner, values), ids
    finally:
        if hasattr(root, "close"):
            root.close()


def _opened(path: Path) -> Any:
    try:
        if path.suffix == ".zarr":
            import zarr

            return zarr.open(str(path), mode="r")
        import h5py

        return h5py.File(path, "r")
    except ImportError as error:
        raise ImportError(f"{path.suffix} files need {error.name}: {INSTALL}") from error
    except Exception as error:
        raise ValueError(f"{path} cannot be used: it is damaged or truncated: {error}") from error


def _located(path: Path, root: Any, key: str | None) -> tuple[Any, str]:
    """The group that is an AnnData, and the key of an array in it."""
    if "mod" in root:
        names = list(root["mod"])
        name, _, inner = (key or "").partition("/")
        if name not in names:
            raise ValueError(
                f"{path} holds the modalities {', '.join(names)}: name one, {path}:{names[0]}"
            )
        return root["mod"][name], inner or "X"
    return root, key or "X"


def _ids(group: Any, read_elem: Any) -> tuple[str, ...] | None:
    if "obs" not in group:
        return None
    obs = read_elem(group["obs"])
    return tuple(map(str, obs.index))


def _dense(path: Path, key: str, values: Any) -> np.ndarray:
    if hasattr(values, "toarray"):
        values = values.toarray()
    elif hasattr(values, "columns"):  # a data frame in obsm
        values = values.to_numpy()
    if hasattr(values, "categories"):  # pandas' categories
        values = np.where(values.codes < 0, "", np.asarray(values.astype(str)))
        return values.astype(str)
    array = np.asarray(values)
    if array.dtype == object:
        array = np.array(["" if value is None or value != value else str(value) for value in array])
    if array.dtype.kind not in "buifUST":
        raise ValueError(f"{path}:{key} holds {array.dtype}, not numbers or texts")
    return array


def _listed(group: Any) -> str:
    found = [name for name in ("X",) if name in group]
    for folder in ("layers", "obsm", "obs"):
        if folder in group:
            found += [f"{folder}/{name}" for name in group[folder]]
    return ", ".join(found[:20]) or ", ".join(list(group)[:20])
