"""The command line of `mixvae.train`: overrides in Hydra's grammar, and a few options."""

from __future__ import annotations

import os
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from mixvae.cli.errors import UsageError

# Options of Hydra that mixvae refuses, and what serves instead.
REFUSED_OPTIONS = {
    "--config-path": "it would leave mixvae's own configs out; use --config-dir",
    "--experimental-rerun": "it unpickles a file; use the run's config.yaml instead",
}


# Options with a value; any other `--key=value` is an override, as `wandb agent` writes them.
VALUED = ("--config-dir", "--config-name", "--cfg", *REFUSED_OPTIONS)


@dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
        overrides: Lines `key=value`, `+key=value` or `~key`.
        config_dir: A config folder of the user's, absolute.
        config_name: Name of the composition root; None: mixvae's own `train`.
        show: Part of the config to print instead of running: `job`, `hydra` or `all`.
    """

    overrides: list[str] = field(default_factory=list)
    config_dir: str | None = None
    config_name: str | None = None
    multirun: bool = False
    show: str | None = None
    resolve: bool = False

    @property
    def flags(self) -> list[str]:
        """The options that say where configs lie."""
        named = {"--config-dir": self.config_dir, "--config-name": self.config_name}
        return [f"{flag}={value}" for flag, value in named.items() if value is not None]

    @property
    def lines(self) -> list[str]:
        """Flags, then overrides: arguments of `mixvae.train`."""
        return [*self.flags, *self.overrides]

    def values(self, key: str) -> list[str]:
        """Text of every override of a key, quotes and all."""
        return [line.partition("=")[2] for line in self.overrides if key_of(line) == key]


def plain(argument: str, options: Sequence[str] = ()) -> str:
    """Return `key=value` for `--key=value`, unless it is one of these options."""
    name, separator, _ = argument.partition("=")
    return argument[2:] if separator and name.startswith("--") and name not in options else argument


def _spelled(argument: str) -> str:
    """Return an argument as Hydra reads it; `debug` is a group, beside which the flag is a key."""
    line = plain(argument, VALUED)
    key, _, value = line.partition("=")
    asked = key.lstrip("+") == "debug" and value.lower() in ("true", "false")
    return f"traceback={value}" if asked else line


def key_of(line: str) -> str:
    """Key of an override, without the sign before it."""
    return line.lstrip("+~").partition("=")[0]


def is_hydras(line: str) -> bool:
    """Whether an override is about Hydra itself."""
    return key_of(line).startswith(("hydra.", "hydra/"))


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see --help")


def parse(arguments: Sequence[str]) -> Command:
    """Parse a command line without the program's name."""
    parser = _Parser(prog="mixvae.train", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-name", "-cn")
    parser.add_argument("--cfg", "-c", dest="show", choices=("job", "hydra", "all"))
    parser.add_argument("--resolve", action="store_true")
    for option in REFUSED_OPTIONS:
        parser.add_argument(option, nargs="?", const="", default=SUPPRESS)
    said = vars(parser.parse_intermixed_args([_spelled(one) for one in arguments]))
    for option, reason in REFUSED_OPTIONS.items():
        if said.pop(option.lstrip("-").replace("-", "_"), None) is not None:
            raise UsageError(f"{option} is not supported: {reason}")
    if said["config_dir"] is not None:
        said["config_dir"] = os.path.abspath(os.path.expanduser(said["config_dir"]))
        if not os.path.isdir(said["config_dir"]):
            raise UsageError(f"--config-dir {said['config_dir']} is not a folder")
    return Command(**said)
