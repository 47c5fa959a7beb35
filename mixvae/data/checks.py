"""Ranges of settings; each `ValueError` names the setting, its value and the range."""

from __future__ import annotations


def check_seed(seed: int) -> None:
    """Refuse a seed that is negative or not a whole number."""
    if not _is_whole(seed) or seed < 0:
        raise ValueError(f"seed is {seed!r}; it must be a whole number, 0 or more")


def check_count(name: str, value: int, least: int = 1) -> None:
    """Refuse a value that is below `least` or not a whole number."""
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


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuse shares of validation and test that leave nothing to train on."""
    check_fraction("test_fraction", test_fraction)
    if val_fraction + test_fraction >= 1:
        raise ValueError(
            f"val_fraction {val_fraction} and test_fraction {test_fraction} leave nothing to"
            " train on; their sum must be below 1"
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
