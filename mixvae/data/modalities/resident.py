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


@dataclass(frozen=True)
class Store:
    """The samples of one modality as they are stored, and how a batch of them is made.

    Attributes:
        array: Samples, shape (N_m, *shape): float32, uint8, which is cut faster, or those of a
            mapped file; or numbers of tokens (N_m, *shape[:-1]), padded by -1.
        num_tokens: Size of the last, one-hot axis of a batch of tokens; 0 for numbers.
        scale: Mean and deviation by which samples are standardised as they are read.
        fill: What NaN of a mapped file becomes, in its unit; None leaves it.
        is_mapped: Whether the array stays on disk, also where the computing device is another.
    """

    array: Tensor
    num_tokens: int = 0
    unit: float = 1.0
    scale: tuple[Tensor, Tensor] | None = None
    fill: Tensor | None = None
    is_mapped: bool = False

    def take(self, rows: Tensor) -> Tensor:
        """Samples of these rows, shape (B, *shape), float32, on the device of the rows."""
        if self.is_mapped:
            x = self.array.index_select(0, rows.cpu())
        else:
            x = self.array.index_select(0, rows)
        if self.num_tokens:
            return one_hot(x, self.num_tokens)
        if self.fill is not None:
            x = torch.where(x.isnan(), self.fill.to(x.dtype), x)
        if self.scale is not None:
            mean, deviation = self.scale
            x = (x - mean) / deviation
        x = x.float()
        if self.unit != 1.0:
            x = x / self.unit
        return x.to(rows.device) if self.is_mapped else x

    def to(self, device: torch.device) -> Store:
        """Return the same samples on `device`; a mapped file stays where it is."""
        return self if self.is_mapped else replace(self, array=self.array.to(device))


def one_hot(tokens: Tensor, num_tokens: int) -> Tensor:
    """Tokens (B, T) as float32 (B, T, V); all 0 where padded."""
    x = torch.zeros((*tokens.shape, num_tokens), device=tokens.device)
    there = (tokens >= 0).unsqueeze(-1)
    return x.scatter_(-1, tokens.long().clamp(min=0).unsqueeze(-1), there.float())


class ModalityStores:
    """The samples of each modality, which several splits share."""

    def __init__(self, stores: Sequence[Tensor | Store]) -> None:
        """Hold M stores, or tensors (N_m, *shape_m), float32, or uint8, which are cut faster."""
        self.stores = tuple(s if isinstance(s, Store) else Store(s) for s in stores)
        self._moved: dict[torch.device, ModalityStores] = {}

    @property
    def arrays(self) -> tuple[Tensor, ...]:
        """The samples of each modality as stored."""
        return tuple(store.array for store in self.stores)

    def to(self, device: torch.device) -> ModalityStores:
        """Return the same samples on `device`, moved once for all that share them."""
        kept = [store for store in self.stores if not store.is_mapped]
        if not kept or device == kept[0].array.device:
            return self
        if device not in self._moved:
            self._moved[device] = ModalityStores([store.to(device) for store in self.stores])
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
        assert self.events.shape == (len(self.label), len(self.stores.stores))

    def batch(self, rows: Tensor) -> MultimodalBatch:
        """Cut the batch of these events; `index` of the batch is the number of the event."""
        events = self.events.index_select(0, rows)
        present = events >= 0
        # a missing sample is read from row 0 and then set to 0, which spares a synchronisation
        taken = (events if self.is_complete else events.clamp(min=0)).unbind(1)
        x = [store.take(column) for store, column in zip(self.stores.stores, taken, strict=True)]
        if not self.is_complete:
            for sample, here in zip(x, present.unbind(1), strict=True):
                sample.masked_fill_(~here.view(-1, *[1] * (sample.dim() - 1)), 0.0)
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
