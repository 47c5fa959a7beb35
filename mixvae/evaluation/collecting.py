"""Columns of samples that a metric collects over batches and ranks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class Collector(Metric):
    """Collects columns of samples, of which `index` tells them apart; grows with the samples."""

    full_state_update = False
    columns: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        super().__init__()
        for name in self.columns:
            self.add_state(name, [], dist_reduce_fx="cat")

    def add(self, **columns: Tensor) -> None:
        """Add a batch: samples on axis 0, along which ranks are concatenated."""
        for name, values in columns.items():
            getattr(self, name).append(values)

    def gathered(self) -> dict[str, NDArray[Any]]:
        """Columns of all batches and ranks, ordered by index; those without a sample are left out.

        A sample that a distributed sampler repeats to even out the ranks is kept once.
        """
        found = {
            name: joined(getattr(self, name)) for name in self.columns if len(getattr(self, name))
        }
        if not found:
            return {}
        first = np.unique(found["index"], return_index=True)[1]
        return {name: values[first] for name, values in found.items()}


def joined(parts: list[Tensor]) -> NDArray[Any]:
    """All batches of all ranks as one array."""
    return dim_zero_cat(parts).cpu().numpy()
