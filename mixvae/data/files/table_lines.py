"""The lines of a text file: its encoding, its delimiter, and words that mean numbers."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from mixvae.messages import inform

DELIMITERS = {".csv": ",", ".tsv": "\t"}
OTHERS = (";", "\t", ",")
LOOKED_AT = 20  # lines decide the delimiter
# Also of labels, where None may be a class.
MISSING_WORDS = frozenset(("", "na", "n/a", "nan", "<na>"))
MISSING_TEXTS = MISSING_WORDS.union(
    (
        *("n.a.", "-nan", "nat", "null", "none", "missing"),
        *("#n/a", "#na", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "?", "-", "."),
    )
)
TRUTHS = {"true": 1.0, "false": 0.0}
THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.' ]\d{3})+([.,]\d+)?")  # numbers, but for us
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


def is_missing(field: str) -> bool:
    """Whether a field stands for a missing value: nothing, NA, NaN, null and their like."""
    return field.lower() in MISSING_TEXTS


def as_number(field: str) -> float:
    """The number of a field: NaN where it is missing, 1 and 0 of true and false."""
    if is_missing(field):
        return float("nan")
    truth = TRUTHS.get(field.lower())
    return float(field) if truth is None else truth


def decoded(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8: byte {error.start} is {content[error.start]:#x}; save"
            " it as UTF-8"
        ) from error


def lines_of(path: Path) -> tuple[str, list[int], list[list[str]]]:
    """The delimiter, the number of each line that is not empty, and its fields."""
    text = decoded(path)
    delimiter = _delimiter(path, text)
    lines, rows = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if row:
                lines.append(reader.line_num)
                rows.append([_with_point(field.strip(), delimiter) for field in row])
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: {error}; does a quotation mark lack its second?"
        ) from error
    return delimiter, lines, rows


def _delimiter(path: Path, text: str) -> str:
    """The usual one of the ending, or another that each line has as often as the first."""
    usual = DELIMITERS[path.suffix]
    lines = [line for line in text[: 2**20].splitlines() if line.strip()][:LOOKED_AT]

    def is_regular(one: str) -> bool:
        return bool(lines) and lines[0].count(one) > 0 and len({x.count(one) for x in lines}) == 1

    if is_regular(usual):
        return usual
    other = next((one for one in OTHERS if one != usual and is_regular(one)), None)
    if other is None:
        return usual
    inform(f"{path} has {other!r} between its values, not {usual!r}")
    return other


def _with_point(field: str, delimiter: str) -> str:
    """A number with a decimal comma, beside semicolons, with a point."""
    return field.replace(",", ".") if delimiter == ";" and _COMMA.fullmatch(field) else field
