"""Tables of text: `.csv` and `.tsv`, with or without column names and a column of ids."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixvae.data.files.table_lines import THOUSANDS, as_number, decoded, is_missing, lines_of
from mixvae.messages import inform, warn

LABEL_NAMES = frozenset(("label", "labels", "class", "type", "y", "target"))
ID_WORDS = frozenset(("id", "ids", "eid", "pid", "uid", "uuid", "barcode", "accession"))
"""Last words of a column's name that say that it names rows."""
ROW_WORDS = frozenset(
    ("index", "sample", "cell", "event", "patient", "subject", "participant", "key", "row")
)
"""Names of columns that name rows where their values are distinct."""
LEAST_STEPS, LEAST_INCREASING = 3, 8


class Table(NamedTuple):
    """A table of text.

    Attributes:
        cells: Fields of the rows, texts, shape (N, C), without the column of ids.
        ids: Name of each row, length N; None if the table has no column of ids.
        names: Names of the C columns; none if the table has no line of names.
    """

    cells: list[list[str]]
    ids: tuple[str, ...] | None
    lines: list[int]
    names: list[str]
    delimiter: str


def read_table(path: Path, id_column: str | None = None, *, numeric: bool = True) -> Table:
    """Read a table, and tell its column names and its ids from its values.

    The first column holds ids if `id_column` names it, if the line of column names leaves it
    without a name (as pandas writes an index), if its values are texts beside numbers or distinct
    texts beside one other column, or if it holds whole numbers and is called such as `id` or
    `patient_id`, or counts the rows. All but the first of these are logged. `id_column=""` means
    that no column is one.

    Args:
        numeric: Whether the values are numbers, so that a first line of words names columns.
    """
    delimiter, lines, rows = lines_of(path)
    if not rows:
        raise ValueError(f"{path} holds no line of values")
    has_names = _has_names(path, rows, numeric=numeric)
    names = rows[0] if has_names else []
    if has_names:
        rows, lines = rows[1:], lines[1:]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{path}, line {line}: {len(row)} values, but {len(rows[0])} in the lines before"
            )
    if rows and len(rows[0]) > 1 and not any(row[-1] for row in rows) and not any(names[-1:]):
        rows, names = [row[:-1] for row in rows], names[:-1]  # a delimiter ends each line
    column = _id_column(path, names, rows, id_column, numeric=numeric)
    if column is None:
        return Table(rows, None, lines, names, delimiter)
    ids = tuple(_whole(row[column]) for row in rows)
    rest = [row[:column] + row[column + 1 :] for row in rows]
    return Table(rest, ids, lines, names[:column] + names[column + 1 :], delimiter)


def numbers_of(path: Path, table: Table) -> np.ndarray:
    """The values of a table as float32, shape (N, C); NaN where one is missing."""
    parsed = []
    for line, row in zip(table.lines, table.cells, strict=True):
        try:
            parsed.append(numbers(row))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}; {_remedy(table)}") from error
    if not parsed or parsed[0].size == 0:
        raise ValueError(f"{path} holds no line of numbers")
    return np.stack(parsed)


def _remedy(table: Table) -> str:
    """Advice for a field that is not a number."""
    for place, column in enumerate(zip(*table.cells, strict=True)):
        if holds_words(list(column)):
            name = table.names[place] if table.names else f"number {place + 1}"
            return (
                f"the column {name} holds words: leave it out, or use it as data.labels, or as the"
                " names of rows (data.id_column)"
            )
    delimiter = "commas" if table.delimiter == "," else repr(table.delimiter)
    return (
        f"numbers must lie between {delimiter}, with a point for decimals and nothing between"
        " thousands; leave a field empty where the value is missing"
    )


def numbers(fields: list[str]) -> np.ndarray:
    """Fields as float32, NaN where one is missing; the error names the first one in error."""
    try:
        return np.array([as_number(field) for field in fields], dtype=np.float32)
    except ValueError as error:
        wrong = next(field for field in fields if not is_number(field))
        shown = wrong if len(wrong) <= 40 else f"{wrong[:37]}..."
        raise ValueError(f"{shown!r} is not a number") from error


def _has_names(path: Path, rows: list[list[str]], *, numeric: bool) -> bool:
    """Whether the first line names the columns."""
    first, others = rows[0], rows[1:]
    is_unnamed = bool(others) and len(first) > 1 and not first[0] and all(first[1:])
    # pandas' index; names such as 0, 1, ... are numbers too
    if is_unnamed and not all(map(is_number, first[1:])):
        return True
    if is_unnamed and (is_header_of_numbers(first[1:], [row[1:] for row in others])):
        return True
    if not numeric:
        return _names_labels(first, others)
    if not all(is_number(field) for field in first):
        # A first line as wordy as the others names an id beside numbers, and no columns.
        is_alike = bool(others) and not is_number(others[0][0])
        return not (is_alike and len(first) > 1 and all(map(is_number, first[1:])))
    if is_header_of_numbers(first, others):
        warn(
            f"{path} begins with the line {', '.join(first[:2])}, ..., {first[-1]}: taken for the"
            " names of columns, as the lines below it are not in order"
        )
        return True
    return False


def _names_labels(first: list[str], others: list[list[str]]) -> bool:
    """Whether the first line of a table of labels names its columns."""
    if not others:
        return False
    if (len(first) > 1 and names_rows(first[0])) or first[-1].lower() in LABEL_NAMES:
        return True
    columns = zip(first, zip(*others, strict=False), strict=False)
    return any(not is_number(name) and all(map(is_number, below)) for name, below in columns)


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
    are_distinct = len(set(first)) == len(first)
    if names and not name:
        warn(
            f"{path} has a first column without a name: left out of the values as the names of"
            " rows, as pandas writes them without index=False"
        )
        return 0
    if not numeric:
        beside = len(rows[0]) == 2 or not any(map(is_number, first))
        return 0 if names_rows(name) or (are_distinct and beside) else None
    if 2 * sum(map(is_number, first)) <= len(first):  # some ids may look like numbers
        return _words(path, name, rows, are_distinct=are_distinct)
    return _whole_numbers(path, name, first, are_distinct=are_distinct)


def _whole_numbers(path: Path, name: str, first: list[str], *, are_distinct: bool) -> int | None:
    """A first column of numbers: ids if its name or their order says so."""
    whole = [_whole(field) for field in first]
    if not all(field.lstrip("-").isdigit() for field in whole):
        return None
    counts = are_distinct and len(first) > 2 and (are_counts(whole) or are_counts(whole, 1))
    if not (counts or names_rows(name, are_distinct=are_distinct)):
        return None
    warn(
        f"{path}: the first column ({name!r}) holds whole numbers that name rows: left out of the"
        " values; data.id_column='' keeps it as a feature"
    )
    return 0


def _words(path: Path, name: str, rows: list[list[str]], *, are_distinct: bool) -> int | None:
    """A first column of words: ids beside numbers or a text; None if others are words too."""
    beside = all(is_number(field) for row in rows[:20] for field in row[1:])
    if any(THOUSANDS.fullmatch(row[0]) for row in rows):
        return None
    if not (beside or (len(rows[0]) == 2 and (are_distinct or names_rows(name)))):
        return None
    if not are_distinct and not names_rows(name):
        raise ValueError(
            f"{path}: the first column ({name!r}) holds words that recur, such as {rows[0][0]!r};"
            " they are neither numbers nor the names of rows. Leave the column out, or use it as"
            " data.labels"
        )
    inform(f"{path}: the first column ({name!r}) holds the ids of the rows")
    return 0


def _whole(field: str) -> str:
    """A whole number as it is written without a point, so that 3.0 and 3 are one id."""
    stem, point, decimals = field.partition(".")
    return stem if point and stem.lstrip("-").isdigit() and not decimals.strip("0") else field


def is_number(field: str) -> bool:
    """Whether a field is a number, or stands for a missing one."""
    try:
        as_number(field)
    except ValueError:
        return False
    return True


def holds_words(fields: list[str]) -> bool:
    """Whether most of the fields that are not missing are words, and no numbers."""
    there = [field for field in fields if not is_missing(field)]
    words = [field for field in there if not is_number(field) and any(map(str.isalpha, field))]
    return 2 * len(words) > len(there)


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a `.txt` file, one text each; an empty line is a missing one."""
    for line in io.StringIO(decoded(path), newline=None):  # not str.splitlines: texts may hold \f
        yield line.rstrip("\n")


def names_rows(name: str, *, are_distinct: bool = True) -> bool:
    """Whether a column of this name names rows: `id`, `Patient ID`, `sampleId`, `subject`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    last = words[-1].lower() if words else ""
    return last in ID_WORDS or (are_distinct and len(words) == 1 and last in ROW_WORDS)


def are_counts(fields: list[str], start: int = 0) -> bool:
    """Whether fields are the numbers start, start + 1, ..."""
    return fields == [str(start + number) for number in range(len(fields))]


def is_header_of_numbers(first: list[str], others: list[list[str]]) -> bool:
    """Whether a first line of numbers names columns: years, wavelengths, 0, 1, 2, ...

    Such a line is in equal steps, or long and increasing; lines of values are not, and seldom
    repeat its numbers.
    """
    if len(others) < 2 or len(first) < 2:
        return False
    columns = zip(*others, strict=False)
    if any(value in column for value, column in zip(first, columns, strict=False)):
        return False
    if are_counts(first):
        return True
    steps = np.diff([as_number(field) for field in first])
    are_equal = len(first) >= LEAST_STEPS and np.allclose(steps, steps[0])
    is_long = len(first) >= LEAST_INCREASING
    return bool((steps > 0).all()) and (are_equal or is_long) and not _increases(others[0])


def _increases(fields: list[str]) -> bool:
    try:
        return bool((np.diff([as_number(field) for field in fields]) > 0).all())
    except ValueError:
        return False
