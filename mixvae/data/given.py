"""Objects given from Python in place of files; a config names each by kind, shape and hash.

While `giving` lasts, whatever reads a file by its name finds the object by this name instead. So
objects pass through the same data modules and checks as files, and a run folder records them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.gene_names import is_absent
from mixvae.data.tables import MISSING_WORDS

PREFIX = "python:"
HASHED_AT_ONCE = 64 * 2**20  # bytes

_objects: ContextVar[Mapping[str, Any]] = ContextVar("objects given from Python")


def name_of(value: Any) -> str:
    """Name an array or AnnData object, such as `python:float32_1797x8x8_1a2b3c4d5e6f`."""
    digest = hashlib.sha256()
    if is_anndata(value):
        _add_anndata(digest, value)
        kind, shape = type(value).__name__, value.shape
    else:
        _add_array(digest, value)
        kind, shape = "text" if value.dtype.kind == "U" else str(value.dtype), value.shape
    return f"{PREFIX}{kind}_{'x'.join(map(str, shape))}_{digest.hexdigest()[:12]}"


@contextmanager
def giving(objects: Mapping[str, Any]) -> Iterator[None]:
    """Let names stand for these objects, in this thread."""
    token = _objects.set({**_objects.get({}), **objects})
    try:
        yield
    finally:
        _objects.reset(token)


def is_given(name: object) -> bool:
    """Whether a name in a config stands for an object and not for a file."""
    return isinstance(name, str) and name.startswith(PREFIX)


def find(name: str) -> Any:
    """Return the object of a name.

    Raises:
        ValueError: If it is not given now.
    """
    found = _objects.get({})
    if name not in found:
        raise ValueError(
            f"the run was trained on an object in Python ({name.removeprefix(PREFIX)}), which no"
            " file holds; in Python give it again, mixvae.open_run(FOLDER).resume(data=...), or"
            " name files of other data"
        )
    return found[name]


def is_anndata(value: object) -> bool:
    """Whether a value is an AnnData object; anndata itself need not be installed."""
    return all(hasattr(value, name) for name in ("X", "obs", "var_names", "layers"))


def as_array(value: Any, what: str) -> NDArray[Any]:
    """Return an array, tensor, table, sparse matrix or nested list as an array.

    Args:
        what: The value's description, which begins an error message.
    """
    if is_anndata(value):
        raise ValueError(f"{what} are {type(value).__name__}, not an array; give its matrix, .X")
    if isinstance(value, np.ma.MaskedArray) and value.mask.any():
        value = np.ma.filled(value.astype(float), np.nan)
    elif hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    elif hasattr(value, "tocsr"):
        value = value.toarray()
    try:
        array = np.asarray(value)
    except ValueError as error:  # nested lists of unlike lengths
        raise ValueError(f"{what} are not of one shape: {error}") from error
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.flat):
        return array.astype(str)
    if array.dtype.kind not in "buifU":
        kind = "Python objects" if array.dtype.kind == "O" else str(array.dtype)
        raise ValueError(
            f"{what} hold {kind}, not numbers; give an array of numbers, such as np.stack(images)"
        )
    return array


def as_labels(value: Any, num_samples: int, what: str) -> NDArray[Any]:
    """Return one label for each sample as whole numbers or texts; below 0 or empty means none.

    Raises:
        ValueError: For labels of another length, or that are neither numbers nor texts.
    """
    if isinstance(value, str):
        raise ValueError(f"{what} are {value!r}; give one for each of {num_samples} samples")
    try:
        array = _as_classes(np.asarray(value), what)
    except (TypeError, ValueError) as error:
        if str(error).startswith(what):
            raise
        array = np.asarray(value, dtype=object)
    if array.ndim != 1 or array.dtype.kind not in "iU":
        kind = type(value).__name__ if array.dtype.kind == "O" else array.dtype
        raise ValueError(
            f"{what} have the shape {array.shape} and type {kind}; give one whole number or text"
            " for each sample"
        )
    if len(array) != num_samples:
        raise ValueError(f"{what}: {len(array)} labels for {num_samples} samples")
    return array


def label_words(labels: NDArray[Any]) -> list[str | None]:
    """Whole numbers or texts as names of classes; None below 0 or where empty."""
    return [
        None if label == "" or (not isinstance(label, str) and label < 0) else str(label)
        for label in labels.tolist()
    ]


def one_of_each(labels: NDArray[Any]) -> NDArray[Any]:
    """A column, or a table with a single 1 in each row (one-hot), as one label for each row.

    Others are returned unchanged.
    """
    if labels.ndim != 2 or not labels.size:
        return labels
    if labels.shape[1] == 1:
        return labels[:, 0]
    one_hot = labels.dtype.kind in "buif" and np.isin(labels, (0, 1)).all()
    return labels.argmax(axis=1) if one_hot and (labels.sum(axis=1) == 1).all() else labels


def _as_classes(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Whole numbers or texts of labels of any kind; -1 or empty where missing."""
    array = one_of_each(array)
    if array.dtype.kind == "S":
        array = array.astype(str)
    if array.dtype.kind == "O":
        missing = np.array(list(map(is_absent, array.flat)), dtype=bool)
        if all(isinstance(item, str) for item in array.flat[~missing]):
            array = np.where(missing, "", array).astype(str)
        else:
            array = np.where(missing, np.nan, array).astype(float)
    if array.dtype.kind == "U":
        return np.where(np.isin(np.char.lower(array), list(MISSING_WORDS)), "", array)
    if array.dtype.kind == "f":
        missing = np.isnan(array)
        if (array[~missing] % 1).any():
            raise ValueError(f"{what} hold numbers such as {array[array % 1 > 0][0]}, not classes")
        array = np.where(missing, -1, array)
    return array.astype(np.int64) if array.dtype.kind in "buif" else array


def _add_array(digest: Any, array: NDArray[Any]) -> None:
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    rows = max(1, HASHED_AT_ONCE // max(1, array[:1].nbytes)) if array.ndim else 1
    for start in range(0, len(array) if array.ndim else 0, rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).tobytes())


def _add_matrix(digest: Any, matrix: Any) -> None:
    if hasattr(matrix, "tocsr"):
        for part in ("data", "indices", "indptr"):
            _add_array(digest, getattr(matrix.tocsr(), part))
    elif matrix is not None:
        _add_array(digest, np.asarray(matrix))


def _add_anndata(digest: Any, adata: Any) -> None:
    """Hash whatever a run may read: matrices, names and columns of obs."""
    import pandas

    raw = () if adata.raw is None else (adata.raw.X,)
    for matrix in (adata.X, *raw, *adata.layers.values()):
        _add_matrix(digest, matrix)
    for names in (adata.obs_names, adata.var_names):
        digest.update("\n".join(map(str, names)).encode())
    for column, values in adata.obs.items():
        digest.update(str(column).encode())
        try:
            _add_array(digest, pandas.util.hash_array(np.asarray(values)))
        except TypeError:  # a column of lists or the like, which no run reads
            continue
