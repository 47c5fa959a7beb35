"""Overrides in Hydra's grammar: parsed, multiplied into jobs, set on an earlier config."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from mixvae.cli.errors import UsageError
from mixvae.cli.explain import one_line


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides; where Hydra is initialised, globs of options can be expanded."""
    hydra = GlobalHydra.instance()
    parser = OverridesParser.create(hydra.config_loader() if hydra.is_initialized() else None)
    parsed = []
    for line in overrides:
        if "=" not in line and not line.startswith("~"):
            raise UsageError(f"{line!r} is not understood; write key=value")
        try:
            (override,) = parser.parse_overrides([line])
        except HydraException as error:
            raise UsageError(f"{line} cannot be read{unreadable(line, error)}") from error
        if not override.is_delete() and override.value() in (None, "null") and is_group(override):
            raise UsageError(f"{line}: to take a group out, write ~{override.key_or_group}")
        parsed.append(override)
    return parsed


def unreadable(line: str, error: HydraException) -> str:
    """Say where an override breaks Hydra's grammar, and how its texts are written."""
    where, (first, *rest) = f": {one_line(error)}", str(error).splitlines()
    if rest and rest[0].strip() == "^":  # below the first wrong character
        where = f" at {line[len(rest[0]) - 1 - len(first) + len(line) :][:20]!r}"
    key, _, value = line.partition("=")
    if value.startswith("{"):
        return f"{where}; names take no quotes, and texts may need them: {key}={{name: '...'}}"
    if value.startswith("["):
        return f"{where}; a text in a list may need quotes: {key}=['...']"
    quoting = "" if value.startswith(("'", '"')) else f"; a text may need quotes: \"{key}='...'\""
    return f"{where}{quoting}"


def is_group(override: Override) -> bool:
    """Whether an override chooses an option of a config group."""
    loader: Any = override.config_loader
    return loader is not None and bool(loader.get_group_options(override.key_or_group))


def expand(parsed: Sequence[Override], *, multirun: bool) -> list[list[str]]:
    """Return the overrides of each job: the product of all lists of values.

    Raises:
        UsageError: If a line names several values without `multirun`, a range, or no value.
    """
    choices = {}
    for override in parsed:
        line, key = override.input_line or "", override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [line]
        elif not multirun:
            raise UsageError(
                f"{line} names several values; write {key}=[a,b] for a list, or add -m to run a job"
                " for each"
            )
        elif not override.is_discrete_sweep():
            raise UsageError(f"{line} is not a list of values; write key=a,b,c")
        else:
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            if not choices[key]:
                raise UsageError(f"{line} matches no option of {override.key_or_group}")
    return [list(lines) for lines in itertools.product(*choices.values())]


def quoted(text: str) -> str:
    """Quote a text as the value of an override."""
    return QuotedString(text, Quote.single).with_quotes()
