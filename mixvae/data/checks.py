"""What a user's settings must be; a value out of range is named beside what would be right."""

from __future__ import annotations


def check_seed(seed: int) -> None:
    """Refuse a seed that numpy's generators would refuse later and less clearly."""
    if not _is_whole(seed) or seed < 0:
        raise ValueError(f"seed is {seed!r}; it must be a whole number, 0 or more")


def check_count(name: str, value: int, least: int = 1) -> None:
    """Refuse a number of samples below `least`, or one that is no whole number."""
    if not _is_whole(value) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more")


def check_fraction(name: str, value: float) -> None:
    """Refuse a share that is not strictly between 0 and 1, NaN included."""
    if isinstance(value, str) or not 0.0 < value < 1.0:
        raise ValueError(f"{name} is {value!r}; it must lie strictly between 0 and 1, such as 0.1")


def check_seconds(name: str, value: float) -> None:
    """Refuse a duration that is not positive, NaN included."""
    if isinstance(value, str) or not value > 0:
        raise ValueError(f"{name} is {value!r}; it must be a positive number of seconds")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
