"""Make or import data files: `python -m mixvae.data COMMAND [key=value ...]`; alone it lists them.

A command is a function: its arguments are the keys, their types how the values are read, and its
result is printed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from mixvae.cli.errors import UsageError, run_as_process, run_guarded
from mixvae.cli.requests import read_keywords
from mixvae.suggestions import suggestion

# Of each its function, `module:name`, imported only when the command is run, and its summary.
COMMANDS = {
    "import-smartseq": (
        "mixvae.data.cells.smartseq:import_smartseq",
        "make an .h5ad file from the Allen Institute's Smart-seq tables",
    ),
    "simulate-cells": (
        "mixvae.data.cells.synthetic:simulate_cells",
        "write synthetic cells with known types and states as an .h5ad file",
    ),
    "simulate-rats": (
        "mixvae.data.modalities.rat_simulator:simulate_rats",
        "write simulated recordings of five rats in the file layout of the Dryad data",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (None: the process's own) and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: _run(given), given, lambda: _help_for(given))


def _run(arguments: Sequence[str]) -> None:
    """Run a command and print its result; without a command print the help."""
    if not arguments or arguments[0] == "help":
        print(_help(), end="")
        return
    function = _function(arguments[0])
    print(function(**read_keywords(function, arguments[1:])))


def _function(command: str) -> Callable[..., Any]:
    if command not in COMMANDS:
        raise UsageError(f"unknown command {command!r}{suggestion(command, COMMANDS)}")
    module, _, name = COMMANDS[command][0].partition(":")
    function = getattr(import_module(module), name)
    assert callable(function)
    return function


def _help_for(arguments: Sequence[str]) -> str:
    """Return the help of the command that a command line names, or else of all."""
    commands = [word for word in arguments if not word.startswith("-")]
    return _command_help(commands[0], _function(commands[0])) if commands else _help()


def _help() -> str:
    lines = ["usage: python -m mixvae.data COMMAND [key=value ...]", "", "commands:"]
    width = max(map(len, COMMANDS))
    lines += [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join([*lines, "", "python -m mixvae.data COMMAND --help lists its keys\n"])


def _command_help(command: str, function: Callable[..., Any]) -> str:
    usage = f"usage: python -m mixvae.data {command} key=value ..."
    lines = [usage, "", COMMANDS[command][1], "", "keys:"]
    for name, parameter in inspect.signature(function).parameters.items():
        required = parameter.default is parameter.empty
        default = "null" if parameter.default is None else str(parameter.default)
        lines.append(f"  {name}={'...' if required else default}")
    return "\n".join([*lines, "  debug=false\n"])


command = partial(run_as_process, main)


if __name__ == "__main__":
    command()
