"""Refusals of settings that are out of range."""

from __future__ import annotations


def check_least(callback: str, least: int, **values: int | None) -> None:
    """Raise ValueError if a value is below `least`; None passes.

    Args:
        callback: Name of the callback in the config.
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"callbacks.{callback}.{name} must be {least} or more, got {value}")
