"""Imports PyTorch, Lightning and the rooms above them at less cost, before a run starts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
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
