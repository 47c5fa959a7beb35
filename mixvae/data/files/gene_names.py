"""Names of genes as files have them: versioned Ensembl ids, symbols that stand twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

VERSIONED = re.compile(r"(ENS[A-Z]*[EGPT]\d{11})\.\d+")


def without_versions(names: Sequence[str]) -> list[str]:
    """Strip the versions of Ensembl ids (`ENSG00000141510.18`), except where two ids would meet."""
    stripped = [VERSIONED.sub(r"\1", name) for name in names]
    count = Counter(stripped)
    return [new if count[new] == 1 else old for old, new in zip(names, stripped, strict=True)]


def distinct(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Add its id to each name that stands more than once: `TBCE_ENSG00000284770`."""
    count = Counter(names)
    return [
        name if count[name] == 1 else f"{name}_{own}" for name, own in zip(names, ids, strict=True)
    ]


def as_words(values: Any) -> list[str | None]:
    """Values of a column of any kind as words; None where missing.

    Whole numbers are words alike whatever their type: missing values make integers floats.
    """
    found: list[Any] = np.asarray(values, dtype=object).tolist()
    return found if all(type(value) is str for value in found) else list(map(_as_word, found))


def is_absent(value: Any) -> bool:
    """Whether a value is None, NaN or pandas' NA."""
    # NaN differs from itself; comparing pandas' NA gives neither True nor False
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)


def _as_word(value: Any) -> str | None:
    if is_absent(value):
        return None
    if isinstance(value, bytes):
        return value.decode()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def as_flags(values: Any) -> list[bool] | None:
    """Values of a column of booleans, missing ones as False; None if it holds anything else."""
    words = [word and word.lower() for word in as_words(values)]
    known = {None: False, "true": True, "false": False, "1": True, "0": False}
    if not words or not set(words) <= known.keys():
        return None
    return [known[word] for word in words]
