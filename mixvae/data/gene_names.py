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
    """Values of a column of any kind as words; None where missing."""
    found: list[Any] = np.asarray(values, dtype=object).tolist()
    if all(type(value) is str for value in found):
        return found
    # NaN differs from itself; comparing pandas' NA gives neither True nor False
    return [
        None
        if value is None or type(value).__name__ == "NAType" or value != value
        else value.decode()
        if isinstance(value, bytes)
        else str(value)
        for value in found
    ]


def as_flags(values: Any) -> list[bool] | None:
    """Values of a column of booleans, missing ones as False; None if it holds anything else."""
    words = as_words(values)
    known = {"True": True, "False": False, "1": True, "0": False, "1.0": True, "0.0": False}
    if not words or not {word for word in words if word is not None} <= known.keys():
        return None
    return [word is not None and known[word] for word in words]
