"""Imports PyTorch, Lightning and the rooms above them at less cost, before a run starts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# Lightning imports torchmetrics, whose audio metrics import all of SciPy's signal processing to
# look for one window that newer versions of SciPy lack.
UNUSED = "scipy.signal"
LOOKED_FOR = "hamming"


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import what a run needs: without collecting garbage, and without `scipy.signal`.

    Imported modules stay, so looking for garbage among them is wasted, then and later: they are
    left out of later collections. Later imports of `scipy.signal` import it as usual.
    """
    if "lightning" in sys.modules:
        yield
        return
    collecting = gc.isenabled()
    gc.disable()
    stand_in = ModuleType(UNUSED)
    setattr(stand_in, LOOKED_FOR, None)
    placed = sys.modules.setdefault(UNUSED, stand_in) is stand_in
    try:
        yield
    finally:
        if placed:
            del sys.modules[UNUSED]
        if collecting:
            gc.enable()
            gc.freeze()
