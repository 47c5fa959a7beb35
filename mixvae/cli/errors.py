"""Errors of a command: their types, their one-line messages, and the exit status."""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from hydra.errors import InstantiationException
from omegaconf.errors import OmegaConfBaseException

from mixvae.ranks import own_rank

FAILED = 1
REFUSED = 2
INTERRUPTED = 130
OTHERS_SECONDS = 3.0
# What Hydra says of a plus before a group that the composition root names.
ADDED_TWICE = re.compile(
    r"Multiple values for (\S+)\. To override a value use 'override \S+: (\S+)'"
)


class UsageError(ValueError):
    """A command line that cannot be run."""


class JobError(BaseException):
    """Carries the error of a single job past Hydra, which would comment on an Exception.

    Attributes:
        error: What went wrong.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class JobsFailedError(Exception):
    """Some jobs of a sweep have not finished; each has said why."""


def run_guarded(work: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Do the work and turn whatever stops it into one message and an exit status.

    Args:
        work: What to do.
        arguments: The command line, which may ask for tracebacks (`debug=true`).

    Returns:
        0 if all went well, 1 if it failed, 2 if the command line was refused, 130 after Ctrl-C.
    """
    try:
        work()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        if own_rank() == 0:
            print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (Exception, JobError) as stop:
        error = stop.error if isinstance(stop, JobError) else stop
        # All processes of a run refuse the same command; the first one's exit ends the others.
        time.sleep(OTHERS_SECONDS if own_rank() else 0.0)
        if wants_traceback(arguments):
            traceback.print_exception(error)
        where = f" in process {own_rank()}" if own_rank() else ""
        print(f"error{where}: {message_of(error)}", file=sys.stderr)
        return REFUSED if isinstance(error, UsageError) else FAILED
    return 0


def wants_traceback(arguments: Sequence[str]) -> bool:
    """Whether the user asked for the traceback of an error.

    Args:
        arguments: The command line.
    """
    asked = any(line.lstrip("+").lower() == "debug=true" for line in arguments)
    return asked or os.environ.get("HYDRA_FULL_ERROR") == "1"


def message_of(error: BaseException) -> str:
    """Return what went wrong in the words of its first cause.

    Args:
        error: An exception.
    """
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    name, text = type(error).__name__, str(error).strip()
    # Lightning's own is named here since importing it takes seconds.
    told = isinstance(error, ValueError | OSError | ArithmeticError)
    if text and type(error).__module__.startswith("mixvae."):
        return text
    text = " ".join(text.split())
    if text and (told or name == "MisconfigurationException"):
        return text
    return f"{name}{': ' if text else ''}{text} (HYDRA_FULL_ERROR=1 shows where)"


def told(error: BaseException) -> str:
    """Return Hydra's message in one line; the cause, if any, says what was wrong.

    Args:
        error: An error of Hydra's, or of what it uses.
    """
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {first_line(cause)}"
    text = str(error).partition("Config search path")[0].partition("See https")[0]
    added = ADDED_TWICE.match(text)
    if added is not None:
        return f"{added[1]} is chosen without a plus: {added[1]}={added[2]}"
    return " ".join(text.split()).removeprefix("LexerNoViableAltException: ")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message: OmegaConf's later ones repeat the key."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
