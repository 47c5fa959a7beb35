"""The state of all random generators, as plain values that a checkpoint may hold."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def capture_random_state() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and PyTorch's generators, CUDA's included.

    Returns:
        Numbers, tuples and tensors only, so that `torch.load(weights_only=True)` reads them back.
    """
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple), "what legacy=True asks for"
    _, keys, position, has_gauss, gauss = state
    return {
        "python": random.getstate(),
        "numpy": (torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put all generators back to where `capture_random_state` found them.

    CUDA's states are left out where the number of devices is another one: there the numbers
    could not be the same anyway.

    Args:
        state: What `capture_random_state` returned.
    """
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
