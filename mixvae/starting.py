"""Imports PyTorch, Lightning and the rooms above them at less cost, before a run starts."""

from __future__ import annotations

import gc
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import what a run needs without collecting garbage.

    Imported modules stay, so looking for garbage among them is wasted, then and later: they are
    left out of later collections.
    """
    if "lightning" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


@contextmanager
def unnoticed_imports() -> Iterator[None]:
    """Import without a trace: some packages set variables, add filters or draw random numbers."""
    environment, state = environment_restorer(), random.getstate()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        environment()
        random.setstate(state)


def environment_restorer() -> Callable[[], None]:
    """Return a function that makes the environment variables what they are now."""
    before = dict(os.environ)

    def restore() -> None:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value

    return restore
