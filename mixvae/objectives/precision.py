"""Single precision for values that are exponentiated, subtracted or summed over many features."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """Return x in float32 if it has fewer bits, as under mixed precision, else x itself.

    Args:
        x: Numbers, such as a decoder's output, any shape.

    Returns:
        The same numbers; later operations keep 24 bits instead of bfloat16's 8.

    Source:
        Ours. On GPUs autocast widens exp, lgamma and softmax by itself; on CPUs it does not.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))
