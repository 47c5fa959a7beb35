"""Errors of a command: their types, their one-line messages, and the exit status."""

from __future__ import annotations

import atexit
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from hydra.errors import InstantiationException

from mixvae.ranks import own_rank

FAILED = 1
REFUSED = 2
INTERRUPTED = 130
OTHERS_SECONDS = 3.0
ASKED = ("debug=true", "traceback=true")


class UsageError(ValueError):
    """A command line that cannot be run."""


class JobsFailedError(Exception):
    """Some jobs of a sweep have not finished; each has said why."""


def run_guarded(
    work: Callable[[], Any], arguments: Sequence[str], help_text: Callable[[], str]
) -> int:
    """Do the work of a command, or print its help; an error becomes one message and a status.

    Returns:
        0 if all went well, 1 if it failed, 2 if the command line was refused, 130 after Ctrl-C.
    """
    try:
        if {"-h", "--help"} & set(arguments):
            print(help_text(), end="")
            return 0
        work()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        if own_rank() == 0:
            print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        # All processes of a run refuse the same command; the first one's exit ends the others.
        time.sleep(OTHERS_SECONDS if own_rank() else 0.0)
        if wants_traceback(arguments):
            traceback.print_exception(error)
        where = f" in process {own_rank()}" if own_rank() else ""
        print(f"error{where}: {message_of(error)}", file=sys.stderr)
        return REFUSED if isinstance(error, UsageError) else FAILED
    return 0


def run_as_process(main: Callable[[], int]) -> NoReturn:
    """Run a command as this process, which then ends without tearing down PyTorch's modules.

    That takes a second and more. Handlers of `atexit` still run: the last one registered comes
    first, so the one registered here comes last.
    """
    status = [FAILED]
    atexit.register(lambda: _end(status[0]))
    status[0] = main()
    sys.exit(status[0])


def _end(status: int) -> NoReturn:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that is closed
            stream.flush()
    os._exit(status)


def wants_traceback(arguments: Sequence[str]) -> bool:
    """Whether the user asked for the traceback of an error."""
    asked = any(line.lstrip("+-").lower() in ASKED for line in arguments)
    return asked or os.environ.get("HYDRA_FULL_ERROR") == "1"


def message_of(error: BaseException) -> str:
    """Return the message of an error's first cause."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    name, text = type(error).__name__, str(error).strip()
    # Lightning's own is named here since importing it takes seconds.
    told = isinstance(error, ValueError | OSError | ArithmeticError) or name == "ImportError"
    if text and type(error).__module__.startswith("mixvae."):
        return text
    text = re.sub(r"^\[Errno \d+\] ", "", " ".join(text.split())) + (place := _place_of(error))
    if text and (told or name == "MisconfigurationException"):
        return text
    if name in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in text:
        return f"not enough memory; a smaller data.batch_size or model needs less ({text})"
    hint = "" if place else " (HYDRA_FULL_ERROR=1 shows where)"
    return f"{name}{': ' if text else ''}{text}{hint}"


def _place_of(error: BaseException) -> str:
    """Return file and line of an error that the user's own code raised; '' of any other."""
    trace = traceback.extract_tb(error.__traceback__)
    file = "" if not trace else trace[-1].filename
    theirs = ("site-packages", "dist-packages", os.path.dirname(os.__file__))
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not file.endswith(".py") or file.startswith(ours) or any(one in file for one in theirs):
        return ""
    return f" ({file}, line {trace[-1].lineno})"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message: OmegaConf's later ones repeat the key."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
