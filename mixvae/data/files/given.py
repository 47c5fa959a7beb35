"""Objects given from Python in place of files; a config names each by kind, shape and hash.

While `giving` lasts, whatever reads a file by its name finds the object by this name instead. So
objects pass through the same data modules and checks as files, and a run folder records them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.files.gene_names import is_absent
from mixvae.data.files.table_lines import MISSING_WORDS

PREFIX = "python:"
HASHED_AT_ONCE = 64 * 2**20  # bytes
LARGEST_CLASS = 2**53  # beyond it, float64 skips whole numbers
TOO_LARGE = "; numbers above 2**53 are none"

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
    """Return the object of a name; raise ValueError if it is not given now."""
    found = _objects.get({})
    if name not in found:
        raise ValueError(
            f"the run was trained on an object in Python ({name.removeprefix(PREFIX)}), which no"
            " file holds; in Python give it again, such as mixvae.open_run(FOLDER).resume(data=...)"
            " or .evaluate(data=...), or name files of other data"
        )
    return found[name]


def is_anndata(value: object) -> bool:
    """Whether a value is an AnnData object; anndata itself need not be installed."""
    return all(hasattr(value, name) for name in ("X", "obs", "var_names", "layers"))


def as_array(value: Any, what: str) -> NDArray[Any]:
    """Return an array, tensor, table, sparse matrix or nested list as an array.

    None, pandas' NA and masked values become NaN, or an empty text.

    Returns:
        Numbers or texts, of one dimension or more.
    """
    if is_anndata(value):
        raise ValueError(f"{what} are {type(value).__name__}, not an array; give its matrix, .X")
    if value is None or isinstance(value, str | bytes | PathLike):
        raise ValueError(
            f"{what} are {value!r}; give an array, or name files in an override, such as"
            " 'data.modalities={a: a.npy, b: b.npy}'"
        )
    if hasattr(value, "detach"):
        value = tensor_array(value)
    elif hasattr(value, "toarray"):
        value = value.toarray()
    elif hasattr(value, "columns") and hasattr(value, "iloc"):
        value = _frame_array(value, what)
    elif isinstance(value, np.ma.MaskedArray):
        kind = value.dtype if value.dtype.kind == "f" else float
        value = np.ma.filled(value.astype(kind), np.nan) if value.mask.any() else value.data
    try:
        array = np.asarray(value)
    except ValueError as error:  # nested lists of unlike lengths
        raise ValueError(
            f"{what} are not of one shape (token lists: pad with -1): {error}"
        ) from error
    if array.dtype.kind == "O":
        array = _from_objects(array, what)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind not in "buifU" or not array.ndim:
        shown = array.dtype if array.ndim else f"the single value {value!r}"
        raise ValueError(f"{what} hold {shown}; give an array of numbers or texts")
    return array


def tensor_array(tensor: Any) -> NDArray[Any]:
    """Return a PyTorch tensor of any layout and device as an array; bfloat16 as float32."""
    dense = tensor.detach().cpu()
    if str(dense.layout) != "torch.strided":
        dense = dense.to_dense()
    try:
        array: NDArray[Any] = dense.numpy()
    except TypeError:  # numbers that numpy lacks
        array = dense.float().numpy()
    return array


def as_labels(value: Any, num_samples: int, what: str) -> NDArray[Any]:
    """Return one label for each sample as whole numbers or texts; below 0 or empty means none.

    Raises:
        ValueError: For labels of another length, or that are neither numbers nor texts.
    """
    array = one_of_each(as_array(value, what))
    if array.ndim != 1:
        raise ValueError(
            f"{what} have the shape {array.shape}; give one whole number or text for each sample"
        )
    if len(array) != num_samples:
        raise ValueError(f"{what}: {len(array)} labels for {num_samples} samples")
    return classes_of(array, what)


def classes_of(labels: NDArray[Any], what: str) -> NDArray[Any]:
    """Return labels, shape (N,), as int64 below 0, or texts that are empty, where unknown."""
    if labels.dtype.kind == "U":
        stripped = np.char.strip(labels)
        return np.where(np.isin(np.char.lower(stripped), list(MISSING_WORDS)), "", stripped)
    known = ~np.isnan(labels) if labels.dtype.kind == "f" else np.ones(len(labels), dtype=bool)
    with np.errstate(invalid="ignore"):  # of infinite values
        wrong = labels[known][(labels[known] % 1 != 0) | (labels[known] > LARGEST_CLASS)]
    if len(wrong):
        raise ValueError(
            f"{what} holds {wrong[0]:g}; labels are whole numbers or texts, one for each sample,"
            f" and NaN where unknown{TOO_LARGE if wrong[0] > LARGEST_CLASS else ''}"
        )
    return np.where(known, labels, -1 if labels.dtype.kind == "f" else 0).astype(np.int64)


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


def _frame_array(frame: Any, what: str) -> NDArray[Any]:
    """The values of a data frame, whose columns may differ in type."""
    values: NDArray[Any] = frame.to_numpy()
    if values.dtype.kind != "O":
        return values
    columns = [
        as_array(frame.iloc[:, place], f"{what} in the column {name!r}")
        for place, name in enumerate(frame.columns)
    ]
    texts = [column.dtype.kind == "U" for column in columns]
    if any(texts) and not all(texts):
        raise ValueError(
            f"{what} hold texts in the column {frame.columns[texts.index(True)]!r} beside numbers;"
            " leave it out, or make it the index, a modality of its own, or the labels"
        )
    return np.stack(columns, axis=1)


def _from_objects(values: NDArray[Any], what: str) -> NDArray[Any]:
    """Numbers or texts of an array of objects; None and NA are missing."""
    flat = values.ravel().tolist()
    missing = [np.ndim(one) == 0 and is_absent(one) for one in flat]
    there = [one for one, lost in zip(flat, missing, strict=True) if not lost]
    if there and all(isinstance(one, str | bytes) for one in there):
        texts = ["" if lost else one for one, lost in zip(flat, missing, strict=True)]
        decoded = [one.decode() if isinstance(one, bytes) else one for one in texts]
        return np.array(decoded, dtype=str).reshape(values.shape)
    try:
        if values.ndim == 1 and there and np.ndim(there[0]):
            return np.stack([np.asarray(one, dtype=float) for one in flat])
        numbers = [np.nan if lost else float(one) for one, lost in zip(flat, missing, strict=True)]
    except (TypeError, ValueError) as error:
        odd = next((one for one in there if not isinstance(one, int | float)), there[0])
        raise ValueError(
            f"{what} hold Python objects ({type(odd).__name__}), not all numbers or all texts; give"
            " an array of one shape, such as np.stack(images)"
        ) from error
    return np.array(numbers).reshape(values.shape)


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
