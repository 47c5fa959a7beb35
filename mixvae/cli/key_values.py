"""Command lines of plain `key=value` words, from which no config is composed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixvae.cli.errors import UsageError
from mixvae.cli.overrides import unquoted
from mixvae.suggestions import suggestion

Reader = Callable[[str], Any]


def as_path(text: str) -> Path:
    """Read a path, `~` for the home folder, quotes around it taken away."""
    try:
        return Path(unquoted(text)).expanduser()
    except RuntimeError as error:  # `~name` of nobody
        raise UsageError(f"{text} cannot be found: {error}") from error


def as_truth(text: str) -> bool:
    """Read true or false."""
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


KINDS: dict[Reader, str] = {int: "a whole number", float: "a number", as_truth: "true or false"}


def read_key_values(
    arguments: Sequence[str], keys: Mapping[str, tuple[str, Reader]], needed: Mapping[str, str]
) -> dict[str, Any]:
    """Read a command line.

    Args:
        arguments: The command line without the program's name; `debug=...` is left out.
        keys: What may be said, the field that it sets, and how its value is read.
        needed: What to say where a field is not set.

    Returns:
        The values by field.

    Raises:
        UsageError: If it lacks a field, or names a key or value that there is not.
    """
    values: dict[str, Any] = {}
    for line in arguments:
        key, separator, text = line.partition("=")
        if not separator:
            raise UsageError(f"{line!r} is not understood; write key=value")
        if key == "debug":
            continue
        if key not in keys:
            raise UsageError(f"unknown key {key!r}{suggestion(key, [*keys, 'debug'])}")
        field, read = keys[key]
        try:
            values[field] = read(text)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"{key} must be {KINDS[read]}, got {text!r}") from error
    for field, message in needed.items():
        if values.get(field) in (None, Path()):
            raise UsageError(message)
    return values
