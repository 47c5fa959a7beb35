"""What the command line of `mixvae.evaluate` asks for; light, so that a mistake is told at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixvae.cli.errors import UsageError
from mixvae.cli.overrides import unquoted
from mixvae.suggestions import suggestion


@dataclass
class Request:
    """What `mixvae.evaluate` is asked for.

    Attributes:
        run: The run's folder.
        checkpoint: `best`, `last` or `selected`; None takes the one that training tested.
        name: Name of the folder for results on other data; None makes one from `overrides`.
        overrides: Changes to the run's config, on data and trainer only.
    """

    run: Path
    checkpoint: str | None = None
    name: str | None = None
    overrides: list[str] = field(default_factory=list)


def parse_request(arguments: Sequence[str]) -> Request:
    """Read the command line of `mixvae.evaluate`.

    Args:
        arguments: The command line without the program's name.

    Raises:
        UsageError: If it names no run, or a key that there is not.
    """
    own, overrides = {}, []
    for line in arguments:
        key, separator, value = line.partition("=")
        root = re.split(r"[.\[]", key.lstrip("+~"))[0]
        if not separator:
            raise UsageError(f"{line!r} is not understood; write key=value")
        if key in ("run", "checkpoint", "name", "debug"):
            own[key] = value
        elif root in ("data", "trainer", "data_root"):
            overrides.append(line)
        else:
            known = ["run", "checkpoint", "name", "debug", "data", "data_root", "trainer"]
            raise UsageError(f"unknown key {key!r}{suggestion(root, known)}")
    if not own.get("run"):
        raise UsageError("name the folder of a run: run=runs/...")
    return Request(Path(unquoted(own["run"])), own.get("checkpoint"), own.get("name"), overrides)
