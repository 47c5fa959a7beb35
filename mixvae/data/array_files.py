"""Files of one array: `.npy`, `.npz` (`file.npz:key` where it holds several) and numeric `.csv`."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mixvae.data.given import as_array, as_labels, find, is_given

_logger = logging.getLogger("mixvae")

ENDINGS = (".npy", ".npz", ".csv")


def read_array(name: str) -> np.ndarray:
    """Read an array of numbers; that of an `.npy` stays on disk until it is used.

    Args:
        name: Name of an array given from Python, or path of the file, with `:key` behind it for one
            array of an `.npz`. A `.csv` has a row for each sample, values between commas, nothing
            or `nan` where one is missing, and may begin with a line of column names. A first column
            that this line leaves without a name, such as pandas' index, is left out with a warning.
    """
    if is_given(name):
        return as_array(find(name), name)
    path, key = _located(name)
    array = _csv_numbers(path) if path.suffix == ".csv" else _numpy_array(path, key)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} holds {array.dtype}, not numbers")
    return array


def read_labels(name: str, num_samples: int) -> np.ndarray:
    """Read one label for each sample.

    Args:
        name: Path as in `read_array`; a `.csv` has a label in each line, and may begin with the
            column's name.

    Returns:
        Whole numbers or texts, shape (num_samples,).
    """
    if is_given(name):
        return as_labels(find(name), num_samples, "labels")
    path, key = _located(name)
    if path.suffix == ".csv":
        lines = [row for _, row in _csv_rows(path)]
        wide = next((row for row in lines if len(row) != 1), None)
        if wide is not None:
            raise ValueError(f"{path} must hold one label in a line, but one holds {wide}")
        texts = [row[0] for row in lines]
        if len(texts) == num_samples + 1:
            texts = texts[1:]
        labels = np.array(texts)
        if all(text.lstrip("-").isdigit() for text in texts):
            labels = labels.astype(np.int64)
    else:
        labels = np.asarray(_numpy_array(path, key))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise ValueError(
            f"{name} holds {labels.dtype} of shape {labels.shape}; labels are whole numbers or"
            " texts, one for each sample"
        )
    if len(labels) != num_samples:
        raise ValueError(f"{name} holds {len(labels)} labels for {num_samples} samples")
    return labels


def _located(name: str) -> tuple[Path, str | None]:
    """Split a name into the path and the key; refuses a file that is missing or of another kind."""
    text, key = name, None
    stem, colon, behind = name.rpartition(":")
    if colon and stem.endswith(".npz"):
        text, key = stem, behind
    path = Path(text).expanduser()
    if path.suffix not in ENDINGS:
        raise ValueError(f"{name} is not a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} (asked for from {Path.cwd()})")
    return path, key


def _numpy_array(path: Path, key: str | None) -> np.ndarray:
    # never a pickle, which could run whatever its author likes
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            keys = list(content.files)
            if key is None and len(keys) != 1:
                raise ValueError(f"it holds {', '.join(keys)}: name one, {path}:{keys[0]}")
            if key is not None and key not in keys:
                raise ValueError(f"it holds no {key!r} but {', '.join(keys)}")
            return np.asarray(content[keys[0] if key is None else key])
    except (ValueError, EOFError, OSError) as error:
        hint = ""
        if "pickle" in str(error) or "Python objects" in str(error):
            hint = " (arrays of objects are not read: save numbers, or texts as array.astype(str))"
        raise ValueError(f"{path} cannot be used: {error}{hint}") from error


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line that is not empty."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        for row in reader:
            if row:
                yield reader.line_num, [field.strip() for field in row]


def _csv_numbers(path: Path) -> np.ndarray:
    rows: list[np.ndarray] = []
    first_column = 0
    for number, (line, fields) in enumerate(_csv_rows(path)):
        if number == 0 and _names_an_index(fields):
            _logger.warning(
                "%s has a first column without a name: left out as the names of rows, as pandas"
                " writes them without index=False",
                path,
            )
            first_column = 1
            continue
        try:
            row = _numbers(fields[first_column:])
        except ValueError as error:
            if number == 0:
                continue  # the columns' names
            raise ValueError(f"{path}, line {line}: {error}") from error
        if rows and len(row) != len(rows[0]):
            raise ValueError(
                f"{path}, line {line}: {len(row)} values, but {len(rows[0])} in the lines before"
            )
        rows.append(row)
    if not rows:
        raise ValueError(f"{path} holds no line of numbers between commas")
    if len(rows) > 1 and len(rows[0]) > 1 and np.array_equal(rows[0], np.arange(len(rows[0]))):
        _logger.warning(
            "%s begins with the line 0, 1, ..., %d: taken for the names of columns, as pandas"
            " writes them without header=False",
            path,
            len(rows[0]) - 1,
        )
        rows = rows[1:]
    return np.stack(rows)


def _names_an_index(header: list[str]) -> bool:
    """Whether a first line names all columns but the first, by words or by 0, 1, ..., as pandas."""
    if len(header) < 2 or header[0] or not all(header[1:]):
        return False
    try:
        return np.array_equal(_numbers(header[1:]), np.arange(len(header) - 1))
    except ValueError:
        return True


def _numbers(fields: list[str]) -> np.ndarray:
    """Read fields as float32, an empty one as NaN; the error names the first one in error."""
    try:
        return np.array([field or "nan" for field in fields]).astype(np.float32)
    except ValueError as error:
        for field in fields:
            try:
                float(field or "nan")
            except ValueError:
                shown = field if len(field) <= 40 else f"{field[:37]}..."
                raise ValueError(
                    f"{shown!r} is not a number; numbers must lie between commas, with a point for"
                    " decimals"
                ) from error
        raise
