"""The config groups: which options there are to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from mixvae.cli.errors import UsageError
from mixvae.suggestions import suggestion


@dataclass(frozen=True)
class Groups:
    """The config groups and their options.

    Attributes:
        options: Option names of each group, such as `data` or `hydra/launcher`.
    """

    options: dict[str, list[str]]

    @classmethod
    def of(cls, folders: Sequence[Path]) -> Groups:
        """List the groups in config folders."""
        options: dict[str, list[str]] = {}
        for folder in folders:
            for file in sorted(folder.rglob("*.yaml")):
                group = file.parent.relative_to(folder).as_posix()
                if group not in (".", "sweep"):  # searches are no part of a run's config
                    options.setdefault(group, []).append(file.stem)
        return cls(options)

    def check(self, override: Override) -> None:
        """Refuse an option that the group does not have."""
        group, valid = override.key_or_group, self.options[override.key_or_group]
        if group == "experiment" and not override.is_add():
            raise UsageError(f"an experiment is added with a plus: +{override.input_line}")
        if override.is_delete() and override.value() is None:
            return
        if override.is_sweep_override():
            chosen: list[Any] = list(override.sweep_string_iterator())
        else:
            value = override.value()
            chosen = value if isinstance(value, list) else [value]
        for option in chosen:
            if option in (None, "null"):
                raise UsageError(f"{override.input_line}: to take a group out, write ~{group}")
            if option not in valid:
                raise UsageError(
                    f"{group} has no option {option!r}{suggestion(str(option), valid)}"
                )
