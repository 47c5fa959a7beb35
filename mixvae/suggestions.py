"""The nearest valid name, for messages about a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(wrong: str, valid: Iterable[str]) -> str:
    """Return the end of an error message: `; did you mean 'x'?` or `; choose one of x, y`."""
    names = sorted(set(valid))
    return nearest(wrong, names) or (f"; choose one of {', '.join(names)}" if names else "")


def nearest(wrong: str, valid: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`; '' if no name is near."""
    near = get_close_matches(wrong, sorted(set(valid)), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
