"""Files of one array for each modality, and of the ids of its rows.

`.npy`, `.npz` (also scipy's sparse ones), `.pt`, `.csv`, `.tsv`, `.txt`, `.h5ad`, `.h5mu` and
`.zarr`; `file:key` names one array of a file that holds several.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mixvae.data.files.anndata_files import INSTALL
from mixvae.data.files.gene_names import is_absent
from mixvae.data.files.given import as_array, find, is_given, tensor_array
from mixvae.data.files.table_lines import DELIMITERS, is_missing
from mixvae.data.files.tables import holds_words, is_number, numbers_of, read_table, text_lines
from mixvae.messages import inform

KEYED = (".npz", ".pt", ".h5ad", ".h5mu", ".zarr")
ENDINGS = (".npy", *KEYED, ".csv", ".tsv", ".txt")
UNREADABLE = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error)  # numpy's, of a file


class Rows(NamedTuple):
    """One array and the names of its rows.

    Attributes:
        values: Numbers or texts, shape (N, *shape).
        ids: Name of each row, length N, if the file has them.
    """

    values: np.ndarray
    ids: tuple[str, ...] | None = None


def read_array(name: str) -> np.ndarray:
    """Read an array of numbers; that of an `.npy` stays on disk until it is used.

    Args:
        name: Path of the file, with `:key` behind it for one array of a file of several. A `.csv`
            or `.tsv` has a row for each sample, and nothing, NA or nan where a value is missing.
    """
    values = read_rows(name).values
    if values.dtype.kind not in "buif":
        raise ValueError(f"{name} holds {values.dtype}, not numbers")
    return values


def read_rows(name: str, id_column: str | None = None) -> Rows:
    """Read numbers or texts with the ids of their rows, see `read_array` and `tables`."""
    if is_given(name):
        return Rows(as_array(find(name), name))
    path, key = located(name)
    ids = None
    if path.suffix in DELIMITERS:
        values, ids = _table(path, id_column)
    elif path.suffix == ".txt":
        values = _texts(path)
    elif path.suffix == ".pt":
        values = _torch_array(path, key)
    elif path.suffix in (".npy", ".npz"):
        values = numpy_array(path, key)
    else:
        values, ids = read_annotated(path, key)
    if values.dtype.kind not in "buifUST":
        raise ValueError(f"{name} holds {values.dtype}, not numbers")
    if values.dtype.kind in "ST":
        values = values.astype(str)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return Rows(values, ids)


def _table(path: Path, id_column: str | None) -> Rows:
    table = read_table(path, id_column)
    texts = [row[0] for row in table.cells] if table.cells and len(table.cells[0]) == 1 else []
    if holds_words(texts):
        inform(f"{path} holds texts, one for each line after the column's name")
        kept = ["" if is_missing(text) else text for text in texts]
        return Rows(np.array(kept, dtype=str), table.ids)
    return Rows(numbers_of(path, table), table.ids)


def _texts(path: Path) -> np.ndarray:
    texts = list(text_lines(path))
    looked_at = [text.replace(",", " ").split() for text in texts[:20]]
    are_numbers = all(is_number(field) for fields in looked_at for field in fields)
    if are_numbers and any(len(fields) > 1 for fields in looked_at):
        raise ValueError(
            f"{path} holds numbers, and a .txt file is read as texts, one in each line; save it as"
            " .npy, or with commas as .csv"
        )
    return np.array(texts, dtype=str)


def located(name: str) -> tuple[Path, str | None]:
    """Split a name into the path and the key; refuses a file that is missing or of another kind."""
    text, key = str(name), None
    stem, colon, behind = text.rpartition(":")
    if colon and stem.endswith(KEYED):
        text, key = stem, behind
    path = Path(text).expanduser()
    if path.suffix not in ENDINGS:
        raise ValueError(f"{name} is not a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file")
    if not (path.is_file() or (path.suffix == ".zarr" and path.is_dir())):
        raise FileNotFoundError(f"there is no file {path} (asked for from {Path.cwd()})")
    return path, key


def _chosen(path: Path, content: Mapping[str, object], key: str | None) -> str:
    keys = list(content)
    if not keys:
        raise ValueError("it is empty")
    if key is None and len(keys) != 1:
        raise ValueError(f"it holds {', '.join(keys)}: name one, {path}:{keys[0]}")
    if key is not None and key not in keys:
        raise ValueError(f"it holds no {key!r} but {', '.join(keys)}")
    return keys[0] if key is None else key


def numpy_array(path: Path, key: str | None) -> np.ndarray:
    """Read an array of an `.npy`, which stays on disk, or of an `.npz`; sparse becomes dense."""
    # never a pickle, which could run whatever its author likes
    try:
        if path.suffix == ".npz" and not zipfile.is_zipfile(path):
            raise ValueError("it is no archive of arrays, or cut short")
        # copy on write, as torch warns of arrays that may not be written to
        content = np.load(path, mmap_mode="c", allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            if key is None and {"format", "data", "shape"} <= set(content.files):
                from scipy.sparse import load_npz

                return np.asarray(load_npz(path).toarray())
            return np.asarray(content[_chosen(path, dict.fromkeys(content.files, 0), key)])
    except UNREADABLE as error:
        reason = str(error)
        if "pickle" in reason or "Python objects" in reason:
            reason = (
                "it holds no array, or one of Python objects (arrays of objects are not read: save"
                " numbers, or texts as array.astype(str))"
            )
        elif "mmap length" in reason:
            reason = "it is cut short"
        raise ValueError(f"{path} cannot be used: {reason}") from error


def _torch_array(path: Path, key: str | None) -> np.ndarray:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, dict):
            content = {str(name): value for name, value in content.items()}
            content = content[_chosen(path, content, key)]
        if not isinstance(content, torch.Tensor):
            raise ValueError(
                f"it holds a {type(content).__name__}, not a tensor; save a tensor, such as"
                " torch.stack(tensors), or a dictionary of tensors"
            )
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} cannot be used: it holds Python objects, which may run code when they are"
            " read; save tensors, such as torch.save(torch.as_tensor(x), FILE)"
        ) from error
    except (ValueError, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be used: {str(error).splitlines()[0]}") from error
    return tensor_array(content)


def read_annotated(path: Path, key: str | None) -> Rows:
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
            return Rows(np.asarray(root[...]))
        group, inner = _located(path, root, key)
        if inner not in group:
            raise ValueError(f"{path} holds no {key or inner!r}; it has {_listed(group)}")
        values = read_elem(group[inner])
        obs: Any = read_elem(group["obs"]) if "obs" in group else None
        ids = None if obs is None else tuple(map(str, obs.index))
        return Rows(_plain(path, inner, values), ids)
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


def _plain(path: Path, key: str, values: Any) -> np.ndarray:
    if hasattr(values, "toarray"):
        values = values.toarray()
    elif hasattr(values, "columns"):  # a data frame in obsm
        values = values.to_numpy()
    if hasattr(values, "categories"):  # pandas' categories
        values = np.where(values.codes < 0, "", np.asarray(values.astype(str)))
        return values.astype(str)
    array = np.asarray(values)
    if array.dtype == object:
        array = np.array(["" if is_absent(value) else str(value) for value in array])
    if array.dtype.kind not in "buifUST":
        raise ValueError(f"{path}:{key} holds {array.dtype}, not numbers or texts")
    return array


def _listed(group: Any) -> str:
    found = [name for name in ("X",) if name in group]
    for folder in ("layers", "obsm", "obs"):
        if folder in group:
            found += [f"{folder}/{name}" for name in group[folder]]
    return ", ".join(found[:20]) or ", ".join(list(group)[:20])
