"""Several modalities in memory: one store of samples for each, and a table of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mixvae.contracts import MultimodalBatch
from mixvae.data.resident import Resident

EventsOfEpoch = Callable[[int], Tensor]
"""The table of events of an epoch, (N, M) int64, on any device, as a function of its number."""


class ModalityStores:
    """The samples of each modality, which several splits share."""

    def __init__(self, arrays: Sequence[Tensor]) -> None:
        """Hold M tensors (N_m, *shape_m), float32, or uint8, which are cut faster."""
        self.arrays = tuple(arrays)
        self._moved: dict[torch.device, ModalityStores] = {}

    def to(self, device: torch.device) -> ModalityStores:
        """Return the same samples on `device`, moved once for all that share them."""
        if device == self.arrays[0].device:
            return self
        if device not in self._moved:
            self._moved[device] = ModalityStores([array.to(device) for array in self.arrays])
        return self._moved[device]


@dataclass(frozen=True)
class MultimodalTensors(Resident):
    """The events of one split.

    Attributes:
        stores: The samples of each modality, of all splits.
        events: Row of each event's samples in the stores, shape (N, M), int64; -1 where missing.
        label: Class of each event, shape (N,), int64.
        events_of: The table of events in an epoch of training; None if it is always `events`.
            Labels stay.
        is_complete: True promises that no event of any epoch misses a modality, so that batches
            need not be searched for it, which takes half of the time.
    """

    stores: ModalityStores
    events: Tensor
    label: Tensor
    events_of: EventsOfEpoch | None = None
    is_complete: bool = False

    def __post_init__(self) -> None:
        assert self.events.shape == (len(self.label), len(self.stores.arrays))

    def batch(self, rows: Tensor) -> MultimodalBatch:
        """Cut the batch of these events; `index` of the batch is the number of the event."""
        events = self.events.index_select(0, rows)
        present = events >= 0
        if self.is_complete:
            pairs = zip(self.stores.arrays, events.unbind(1), strict=True)
            x = [store.index_select(0, column).float() for store, column in pairs]
            label = self.label.index_select(0, rows)
            return MultimodalBatch(tuple(x), present, label, rows, events)
        # a missing sample is read from row 0 and then set to 0, which spares a synchronisation
        taken = events.clamp(min=0)
        x = []
        for modality, store in enumerate(self.stores.arrays):
            sample = store.index_select(0, taken[:, modality]).float()
            absent = ~present[:, modality].view(-1, *[1] * (sample.dim() - 1))
            x.append(sample.masked_fill_(absent, 0.0))
        return MultimodalBatch(tuple(x), present, self.label.index_select(0, rows), rows, events)

    def at_epoch(self, epoch: int) -> MultimodalTensors:
        """Return the same samples in the events of an epoch."""
        if self.events_of is None:
            return self
        return replace(self, events=self.events_of(epoch).to(self.label.device))

    def to(self, device: torch.device) -> MultimodalTensors:
        """Return the same events on `device`."""
        return replace(
            self,
            stores=self.stores.to(device),
            events=self.events.to(device),
            label=self.label.to(device),
        )


def compact(samples: np.ndarray) -> np.ndarray:
    """Store samples as uint8 if all are whole numbers of 0 to 255: less memory, and cut faster."""
    small = samples.min(initial=0) >= 0 and samples.max(initial=0) <= 255
    if not small or (samples % 1).any():
        return samples
    return samples.astype(np.uint8)
