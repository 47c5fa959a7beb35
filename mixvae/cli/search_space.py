"""The space of a search: which settings are tried, and between which bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixvae.cli.errors import UsageError
from mixvae.suggestions import suggestion

KINDS = ("float", "int", "categorical")
FIELDS = {
    "float": ("type", "low", "high", "log"),
    "int": ("type", "low", "high", "log", "step"),
    "categorical": ("type", "choices"),
}
Scalar = bool | int | float | str | None


@dataclass(frozen=True)
class Parameter:
    """One searched setting and where it is searched.

    Attributes:
        key: A key of the config, or a group.
        kind: `float`, `int` or `categorical`.
        low: Smallest value of a number.
        high: Largest value of a number.
        log: Whether numbers are drawn evenly in their logarithm.
        step: Distance of whole numbers.
        choices: The values of a categorical one, as on the command line.
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: int = 1
    choices: tuple[Scalar, ...] = ()

    @property
    def corners(self) -> list[Scalar]:
        """Values that are tried on the config before the search begins."""
        return list(self.choices) if self.kind == "categorical" else [self.low, self.high]


def as_text(value: Scalar) -> str:
    """Return a value as the command line has it.

    Args:
        value: A plain value.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value if isinstance(value, str) else repr(value)


def parse_parameter(key: str, node: Any) -> Parameter:
    """Read one entry of a search's space.

    Args:
        key: The searched key.
        node: `{type: float, low: 1e-4, high: 1e-2, log: true}`, `{type: int, low: 1, high: 9}` or
            `{type: categorical, choices: [a, b]}`.

    Raises:
        UsageError: If it is none of these, or its range is empty.
    """
    where = f"space: {key}"
    if not isinstance(node, Mapping) or node.get("type") not in KINDS:
        kind = node.get("type") if isinstance(node, Mapping) else None
        near = suggestion(str(kind), KINDS) if kind is not None else ""
        raise UsageError(f"{where} needs a type of {', '.join(KINDS)}, not {kind!r}{near}")
    kind = str(node["type"])
    for name in node:
        if name not in FIELDS[kind]:
            near = suggestion(str(name), FIELDS[kind])
            raise UsageError(f"{where} has an unknown entry {name!r}{near}")
    if kind == "categorical":
        return _categorical(where, key, node)
    whole = kind == "int"
    low, high = (_number(f"{where}: {name}", node.get(name), whole) for name in ("low", "high"))
    step = int(_number(f"{where}: step", node.get("step", 1), whole))
    log = node.get("log", False)
    if not isinstance(log, bool):
        raise UsageError(f"{where}: log is {log!r}; it must be true or false")
    if low >= high:
        raise UsageError(f"{where}: low is {low}, which is not below high, {high}")
    if log and low <= 0:
        raise UsageError(f"{where}: low is {low}, which has no logarithm; give more than 0")
    if step < 1 or (log and step != 1) or ((high - low) % step and whole):
        raise UsageError(
            f"{where}: step is {step}; it must divide high - low = {high - low}, and be 1 with log"
        )
    if not whole:
        low, high = float(low), float(high)
    return Parameter(key, kind, low, high, log, step)


def _number(where: str, value: Any, whole: bool) -> int | float:
    right = isinstance(value, int) or (isinstance(value, float) and not whole)
    if not right or isinstance(value, bool) or not math.isfinite(value):
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{where} is {value!r}; it must be {kind}")
    return value


def _categorical(where: str, key: str, node: Mapping[str, Any]) -> Parameter:
    choices = node.get("choices")
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
        raise UsageError(f"{where} needs a list of choices, not {choices!r}")
    for choice in choices:
        if choice is not None and not isinstance(choice, bool | int | float | str):
            raise UsageError(
                f"{where}: the choice {choice!r} is no plain value; write it as on the command"
                f" line, in quotes: '{choice}'"
            )
    if len({as_text(choice) for choice in choices}) < len(choices):
        raise UsageError(f"{where} names a choice twice: {list(choices)}")
    return Parameter(key, "categorical", choices=tuple(choices))
