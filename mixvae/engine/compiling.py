"""Compiles a model's networks with torch.compile, where this machine can."""

from __future__ import annotations

import torch
from torch import nn

from mixvae.messages import inform, warn


def compile_networks(model: nn.Module) -> bool:
    """Compile the networks of a model in place; names of weights stay, so checkpoints fit.

    A machine that cannot compile, such as one without a C++ compiler, is warned of and trains
    without.

    Returns:
        Whether they are compiled.
    """
    try:
        torch.compile(_probe)(torch.ones(2))
    # Whatever is missing, each back end says so in its own way.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        warn(f"compile=true, but torch.compile does not work here ({reason}); trained without")
        return False
    # Steps call these and not the model's own forward. Compiling has no effect on what none calls.
    parts = [part for child in model.children() for part in (child, *child.children())]
    for part in parts:
        part.compile()
    inform(f"compile=true: {len(parts)} networks are compiled at their first batches")
    return True


def _probe(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1
