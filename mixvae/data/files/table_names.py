"""Lines and columns of a table that name others, told by their names and values."""

from __future__ import annotations

import re

import numpy as np

from mixvae.data.files.table_lines import as_number

LABEL_NAMES = frozenset(("label", "labels", "class", "type", "y", "target"))
ID_WORDS = frozenset(("id", "ids", "eid", "pid", "uid", "uuid", "barcode", "accession"))
"""Last words of a column's name that say that it names rows."""
ROW_WORDS = frozenset(
    ("index", "sample", "cell", "event", "patient", "subject", "participant", "key", "row")
)
"""Names of columns that name rows where their values are distinct."""
LEAST_STEPS, LEAST_INCREASING = 3, 8


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
