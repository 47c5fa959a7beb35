"""Tables of text: `.csv` and `.tsv`, with or without column names and a column of ids."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

_logger = logging.getLogger("mixvae")

DELIMITERS = {".csv": ",", ".tsv": "\t"}
MISSING_WORDS = frozenset(("", "na", "n/a", "nan", "<na>"))  # also where None may be a class
MISSING_TEXTS = MISSING_WORDS | {"null", "none"}
ID_NAMES = frozenset(
    ("id", "ids", "index", "sample", "sample_id", "cell", "cell_id", "barcode", "event", "patient")
)


class Table(NamedTuple):
    """A table of text.

    Attributes:
        cells: Fields of the rows, texts, shape (N, C), without the column of ids.
        ids: Name of each row, length N; None if the table has no column of ids.
        lines: Number of each row's line in the file, for messages.
    """

    cells: list[list[str]]
    ids: tuple[str, ...] | None
    lines: list[int]


def read_table(path: Path, id_column: str | None = None, *, numeric: bool = True) -> Table:
    """Read a table, and tell its column names and its ids from its values.

    The first column holds ids if `id_column` names it, if the line of column names leaves it
    without a name (as pandas writes an index), if its values are texts beside numbers, or if it
    holds distinct whole numbers and is called such as `id` or `sample`, or counts the rows. All but
    the first of these are logged. `id_column=""` means that no column is one.

    Args:
        numeric: Whether the values are numbers, so that a first line of words names columns.
    """
    lines, rows = _rows(path)
    if not rows:
        raise ValueError(f"{path} holds no line of values")
    for sign in ";\t":
        signs = {row[0].count(sign) for row in rows if len(row) == 1}
        alike = len(signs) == 1 and signs != {0} and max(map(len, rows)) == 1
        if not numeric and len(rows) > 1 and alike:
            raise ValueError(f"{path} is separated by {sign!r}, not by commas; save it with commas")
    has_names = _has_names(path, rows, numeric=numeric)
    names = rows[0] if has_names else []
    if has_names:
        rows, lines = rows[1:], lines[1:]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{path}, line {line}: {len(row)} values, but {len(rows[0])} in the lines before"
            )
    column = _id_column(path, names, rows, id_column, numeric=numeric)
    if column is None:
        return Table(rows, None, lines)
    ids = tuple(row[column] for row in rows)
    return Table([row[:column] + row[column + 1 :] for row in rows], ids, lines)


def numbers_of(path: Path, table: Table) -> np.ndarray:
    """The values of a table as float32, shape (N, C); NaN where one is missing."""
    parsed = []
    for line, row in zip(table.lines, table.cells, strict=True):
        try:
            parsed.append(numbers(row))
        except ValueError as error:
            sign = repr(DELIMITERS[path.suffix]) if path.suffix != ".csv" else "commas"
            raise ValueError(
                f"{path}, line {line}: {error}; numbers must lie between {sign}, with a point for"
                " decimals"
            ) from error
    if not parsed or parsed[0].size == 0:
        raise ValueError(f"{path} holds no line of numbers")
    return np.stack(parsed)


def numbers(fields: list[str]) -> np.ndarray:
    """Fields as float32, NaN where one is missing; the error names the first one in error."""
    texts = ["nan" if is_missing(field) else field for field in fields]
    try:
        return np.array(texts).astype(np.float32)
    except ValueError as error:
        for text in texts:
            try:
                float(text)
            except ValueError:
                shown = text if len(text) <= 40 else f"{text[:37]}..."
                raise ValueError(f"{shown!r} is not a number") from error
        raise


def is_missing(field: str) -> bool:
    """Whether a field stands for a missing value: nothing, NA, NaN, null and their like."""
    return field.lower() in MISSING_TEXTS


def _rows(path: Path) -> tuple[list[int], list[list[str]]]:
    lines, rows = [], []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=DELIMITERS[path.suffix])
        for row in reader:
            if row:
                lines.append(reader.line_num)
                rows.append([field.strip() for field in row])
    return lines, rows


def _has_names(path: Path, rows: list[list[str]], *, numeric: bool) -> bool:
    """Whether the first line names the columns."""
    first = rows[0]
    is_unnamed = len(rows) > 1 and len(first) > 1 and not first[0] and all(first[1:])
    # pandas' index; names such as 0, 1, ... are numbers too
    if is_unnamed and (not all(map(_is_number, first[1:])) or _counts(first[1:])):
        return True
    if not numeric:
        return False
    if not all(_is_number(field) for field in first):
        # A first line as wordy as the others names an id beside numbers, and no columns.
        is_alike = len(rows) > 1 and not _is_number(rows[1][0])
        return not (is_alike and len(first) > 1 and all(map(_is_number, first[1:])))
    if len(rows) > 2 and len(first) > 1 and _counts(first):
        _logger.warning(
            "%s begins with the line 0, 1, ..., %d: taken for the names of columns, as pandas"
            " writes them without header=False",
            path,
            len(first) - 1,
        )
        return True
    return False


def _id_column(
    path: Path, names: list[str], rows: list[list[str]], asked: str | None, *, numeric: bool
) -> int | None:
    """Number of the column of ids; None without one."""
    if asked:
        if asked not in names:
            raise ValueError(
                f"{path} has no column {asked!r}, which data.id_column names; its columns are"
                f" {', '.join(names[:10]) or 'without names'}"
            )
        return names.index(asked)
    if asked == "" or not rows or len(rows[0]) < 2:
        return None
    first = [row[0] for row in rows]
    name = names[0] if names else ""
    if names and not name:
        _logger.warning(
            "%s has a first column without a name: left out of the values as the names of rows,"
            " as pandas writes them without index=False",
            path,
        )
        return 0
    if not numeric:
        return 0 if name.lower() in ID_NAMES or len(rows[0]) == 2 else None
    if 2 * sum(map(_is_number, first)) <= len(first):  # some ids may look like numbers
        beside = all(_is_number(field) for row in rows[:20] for field in row[1:])
        if beside:
            _logger.info("%s: the first column (%r) holds the ids of the rows", path, name)
        return 0 if beside else None
    whole = len(set(first)) == len(first) and all(field.lstrip("-").isdigit() for field in first)
    counts = whole and len(first) > 2 and (_counts(first) or _counts(first, 1))
    if counts or (whole and name.lower() in ID_NAMES):
        _logger.warning(
            "%s: the first column (%r) holds distinct whole numbers: taken for the ids of rows and"
            " left out of the values; data.id_column='' keeps it as a feature",
            path,
            name,
        )
        return 0
    return None


def _is_number(field: str) -> bool:
    if is_missing(field):
        return True
    try:
        float(field)
    except ValueError:
        return False
    return True


def _counts(fields: list[str], start: int = 0) -> bool:
    """Whether fields are the numbers start, start + 1, ..."""
    return fields == [str(start + number) for number in range(len(fields))]


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a `.txt` file, one text each; an empty line is a missing one."""
    yield from path.read_text(encoding="utf-8-sig").splitlines()
