"""Labels of events: one class for each, or several tags for each."""

from __future__ import annotations

import numpy as np

from mixvae.data.array_files import Rows, located, read_rows
from mixvae.data.given import as_labels, find, is_given
from mixvae.data.tables import DELIMITERS, is_missing, read_table


def read_labels(name: str, num_samples: int) -> np.ndarray:
    """Read one label for each sample, see `read_label_rows`."""
    labels = read_label_rows(name, num_samples).values
    check_labels(name, labels, num_samples)
    return labels


def read_label_rows(name: str, num_samples: int, id_column: str | None = None) -> Rows:
    """Read the labels of a file, with the ids of its rows where it has them.

    Args:
        num_samples: Number of samples; one line more in a table names the column.
        name: Path as in `read_array`, also `file.h5ad:obs/type`; a `.csv` or `.tsv` has a label in
            each line, or an id and a label, or an id and several tags of 0 and 1, and may begin
            with the columns' names.

    Returns:
        Whole numbers, below 0 where unknown; texts, empty where unknown; or tags, shape (N, T),
        float32 of 0, 1 and NaN where unknown.
    """
    if is_given(name):
        return Rows(as_labels(find(name), num_samples, "labels"), None)
    path, _ = located(name)
    if path.suffix in DELIMITERS:
        values, ids = _from_table(name, num_samples, id_column)
    else:
        values, ids = read_rows(name)
    return Rows(_as_labels(name, values), ids)


def check_labels(name: str, labels: np.ndarray, num_samples: int) -> None:
    """Refuse another number of labels than of samples."""
    if len(labels) != num_samples:
        raise ValueError(f"{name} holds {len(labels)} labels for {num_samples} samples")


def _from_table(
    name: str, num_samples: int, id_column: str | None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    path, _ = located(name)
    table = read_table(path, id_column, numeric=False)
    rows, ids = table.cells, table.ids
    if len(rows) == num_samples + 1 or _is_header(rows):
        rows, ids = rows[1:], None if ids is None else ids[1:]
    texts = np.array(rows, dtype=str).reshape(len(rows), -1)
    if all(is_missing(text) or _is_whole(text) for text in texts.flat):
        numbers = [float("nan") if is_missing(text) else float(text) for text in texts.flat]
        return np.array(numbers).reshape(texts.shape), ids
    return np.array(["" if is_missing(text) else text for text in texts.flat]).reshape(
        texts.shape
    ), ids


def _is_header(rows: list[list[str]]) -> bool:
    """Whether only the first line is not a number, or it names the label."""
    if len(rows) < 2:
        return False
    first, others = rows[0], [field for row in rows[1:] for field in row]
    if all(is_missing(field) or _is_whole(field) for field in others):
        return not all(is_missing(field) or _is_whole(field) for field in first)
    return len(first) == 1 and first[0].lower() in ("label", "labels", "class", "type", "y")


def _is_whole(text: str) -> bool:
    try:
        return float(text) == round(float(text))
    except (ValueError, OverflowError):
        return False


def _as_labels(name: str, labels: np.ndarray) -> np.ndarray:
    """Whole numbers (int64), texts, or tags (float32) of a file's values."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "biufU":
        raise ValueError(
            f"{name} holds {labels.dtype} of shape {labels.shape}; labels are whole numbers or"
            " texts, one for each sample, or a table of 0 and 1 with a column for each tag"
        )
    if labels.ndim == 2:
        return _as_tags(name, labels)
    if labels.dtype.kind in "bui":
        return labels.astype(np.int64)
    if labels.dtype.kind == "U":
        return labels
    known = ~np.isnan(labels)
    if (labels[known] % 1 != 0).any():
        value = labels[known][labels[known] % 1 != 0][0]
        raise ValueError(
            f"{name} holds {value:g}; labels are whole numbers or texts, one for each sample, and"
            " NaN where unknown"
        )
    return np.where(known, labels, -1).astype(np.int64)


def _as_tags(name: str, tags: np.ndarray) -> np.ndarray:
    if tags.dtype.kind == "U" or not np.isin(tags[~_nan(tags)], (0, 1)).all():
        raise ValueError(
            f"{name} has {tags.shape[1]} columns; several labels for each sample are a table of 0"
            " and 1 (NaN: unknown), and one label is one whole number or text for each"
        )
    return tags.astype(np.float32)


def _nan(values: np.ndarray) -> np.ndarray:
    missing: np.ndarray = values != values
    return missing
