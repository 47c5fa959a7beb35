"""Which pairs of modalities a validation measures where all would cost too much."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_SOURCES = 12
"""Modalities up to which a validation imputes each from each other one."""


def few_pairs(num_modalities: int) -> Tensor | None:
    """For each modality the same number of others to impute it from, fixed and spread out.

    Returns:
        As [source, target], shape (M, M), bool; None, all pairs, up to `MAX_SOURCES` modalities.
    """
    if num_modalities <= MAX_SOURCES:
        return None
    shifts = torch.linspace(1, num_modalities - 1, MAX_SOURCES).round().long()
    target = torch.arange(num_modalities).unsqueeze(1)
    pairs = torch.zeros(num_modalities, num_modalities, dtype=torch.bool)
    pairs[(target + shifts) % num_modalities, target] = True
    return pairs
