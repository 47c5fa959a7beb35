"""Make or import data files: `python -m mixvae.data COMMAND [key=value ...]`; alone it lists them.

A command is a function: its arguments are the keys, their types what the values must be, and what
it returns is printed.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

FAILED = 1
REFUSED = 2
INTERRUPTED = 130


class Command(NamedTuple):
    """One command.

    Attributes:
        function: Where it is; imported only when the command is asked for.
        summary: What it does, in a line.
    """

    function: str
    summary: str


COMMANDS = {
    "import-smartseq": Command(
        "mixvae.data.smartseq:import_smartseq",
        "make an .h5ad file of the Allen Institute's Smart-seq tables",
    ),
    "simulate-cells": Command(
        "mixvae.data.cells_synthetic:simulate_cells",
        "write synthetic cells of known types and states as an .h5ad file",
    ),
    "simulate-rats": Command(
        "mixvae.data.rat_simulator:simulate_rats",
        "write simulated recordings of five rats as files in the layout of Dryad's",
    ),
}


class RefusedError(Exception):
    """The command line cannot be run; nothing was done."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: The command line without the program's name; None takes the process's own.

    Returns:
        0 if all went well, 1 if it failed, 2 if the command line was refused, 130 after Ctrl-C.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        print(_run(given))
    except RefusedError as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, ImportError, MemoryError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":  # as in the other commands
            traceback.print_exception(error)
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return 0


def _run(arguments: Sequence[str]) -> str:
    """Return what the command says when it is done, or the help that is asked for."""
    asks_help = bool({"-h", "--help", "help"} & set(arguments))
    words = [word for word in arguments if word not in ("-h", "--help", "help")]
    if not words:
        return _help()
    command, *settings = words
    if command not in COMMANDS:
        raise RefusedError(f"unknown command {command!r}{_suggestion(command, COMMANDS)}")
    function = _function(command)
    if asks_help:
        return _command_help(command, function)
    return str(function(**_keywords(function, settings)))


def _function(command: str) -> Callable[..., Any]:
    module, _, name = COMMANDS[command].function.partition(":")
    function = getattr(import_module(module), name)
    assert callable(function)
    return function


def _keywords(function: Callable[..., Any], settings: Sequence[str]) -> dict[str, Any]:
    """Return the values of the function's arguments; refuses what it does not have."""
    parameters, hints = inspect.signature(function).parameters, get_type_hints(function)
    keywords: dict[str, Any] = {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if key not in parameters:
            raise RefusedError(f"unknown key {key!r}{_suggestion(key, parameters)}")
        if not sign:
            raise RefusedError(f"{key} has no value; write {key}=...")
        if key in keywords:
            raise RefusedError(f"{key} is given twice")
        keywords[key] = _value(key, text, hints[key])
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in keywords:
            raise RefusedError(f"{name} is missing; write {name}=...")
    return keywords


def _value(key: str, text: str, hint: Any) -> Any:
    """Read a value of a type: text, whole number, number, true or false, or null."""
    kinds = get_args(hint) or (hint,)
    if NoneType in kinds and text in ("", "null"):
        return None
    kind = next(kind for kind in kinds if kind is not NoneType)
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise RefusedError(f"{key} is {text!r}; it must be true or false")
    if kind is str and not text:
        raise RefusedError(f"{key} has no value; write {key}=...")
    try:
        return kind(text)
    except ValueError:
        word = "a whole number" if kind is int else "a number"
        raise RefusedError(f"{key} is {text!r}; it must be {word}") from None


def _suggestion(wrong: str, valid: Iterable[str]) -> str:
    names = list(valid)
    near = get_close_matches(wrong, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; choose one of {', '.join(names)}"


def _help() -> str:
    lines = ["usage: python -m mixvae.data COMMAND [key=value ...]", "", "commands:"]
    width = max(map(len, COMMANDS))
    lines += [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "python -m mixvae.data COMMAND --help lists its keys"])


def _command_help(command: str, function: Callable[..., Any]) -> str:
    lines = [
        f"usage: python -m mixvae.data {command} key=value ...",
        "",
        COMMANDS[command].summary,
        "",
    ]
    lines.append("keys:")
    for name, parameter in inspect.signature(function).parameters.items():
        needed = parameter.default is parameter.empty
        default = "null" if parameter.default is None else str(parameter.default)
        lines.append(f"  {name}={'...' if needed else default}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
