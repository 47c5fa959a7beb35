"""Labels of events: one class for each, or several tags for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.files.arrays import Rows, located, read_rows
from mixvae.data.files.given import as_array, classes_of, find, is_given
from mixvae.data.files.table_lines import DELIMITERS, TRUTHS, is_missing
from mixvae.data.files.tables import numbers, read_table


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
        return Rows(as_event_labels(find(name), "labels"))
    path, _ = located(name)
    if path.suffix in DELIMITERS:
        values, ids = _from_table(path, num_samples, id_column)
    else:
        values, ids = read_rows(name)
    return Rows(as_event_labels(values, name), ids)


def check_labels(name: str, labels: np.ndarray, num_samples: int) -> None:
    """Refuse another number of labels than of samples."""
    if len(labels) != num_samples:
        raise ValueError(
            f"{name} holds {len(labels)} labels for {num_samples} samples; name one for each, or"
            " none (data.labels=null)"
        )


def _from_table(path: Path, num_samples: int, id_column: str | None) -> Rows:
    table = read_table(path, id_column, numeric=False)
    rows, ids = table.cells, table.ids
    if len(rows) == num_samples + 1:  # a first line of words among words names the columns
        rows, ids = rows[1:], None if ids is None else ids[1:]
    texts = np.array(rows, dtype=str).reshape(len(rows), -1)
    are_tags = texts.shape[1] > 1
    if all(is_missing(text) or _is_whole(text, are_tags) for text in texts.flat):
        return Rows(numbers(list(texts.flat)).astype(float).reshape(texts.shape), ids)
    return Rows(texts, ids)


def _is_whole(text: str, are_tags: bool) -> bool:
    if text.lower() in TRUTHS:
        return are_tags  # a class of such a name keeps it
    try:
        return float(text) == round(float(text))
    except (ValueError, OverflowError):
        return False


def as_event_labels(labels: Any, what: str) -> np.ndarray:
    """Return labels as `read_label_rows` does.

    Args:
        labels: An array of numbers or texts, or what `as_array` makes one of.
    """
    array = as_array(labels, what)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{what} holds {array.dtype} of shape {array.shape}; labels are whole numbers or"
            " texts, one for each sample, or a table of 0 and 1 with a column for each tag"
        )
    return _as_tags(what, array) if array.ndim == 2 else classes_of(array, what)


def _as_tags(name: str, tags: np.ndarray) -> np.ndarray:
    if tags.dtype.kind == "U" or not ((tags == 0) | (tags == 1) | (tags != tags)).all():
        raise ValueError(
            f"{name} has {tags.shape[1]} columns; several labels for each sample are a table of 0"
            " and 1 (NaN: unknown), and one label is one whole number or text for each"
        )
    return tags.astype(np.float32)
