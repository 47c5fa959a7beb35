"""Data that stays in memory: batches are cut by row number, not collated sample by sample.

`index_select` from resident uint8 pixels gives about 12 times as many samples per CPU second as a
DataLoader over a TensorDataset, and twice as many as resident floats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixvae.contracts import Batch
from mixvae.data.checks import check_count, check_seed


class Resident(ABC):
    """Samples of which batches are cut by row number; the loaders need no more."""

    label: Tensor
    """Labels, shape (N,), int64, on the device of the samples."""
    ahead = 0
    """Training batches that a thread cuts while earlier ones are in use; 0 for samples at hand."""

    @abstractmethod
    def batch(self, rows: Tensor) -> Any:
        """Cut the batch of these rows, shape (B,), int64, on the device of the samples."""

    @abstractmethod
    def to(self, device: torch.device) -> Resident:
        """Return the same samples on `device`."""

    def sample(self, rows: Tensor) -> Any:
        """Cut the batch of rows in order that are not asked for again; by default as any other."""
        return self.batch(rows)

    def at_epoch(self, epoch: int) -> Resident:
        """Return the samples as training sees them in an epoch; by default always the same."""
        return self


@dataclass(frozen=True)
class ResidentTensors(Resident):
    """The samples of one source file or table, whole, in memory.

    Attributes:
        stored: Samples as stored, shape (N, *shape), uint8 or float32.
        label: Labels, shape (N,), int64.
        unit: Stored value that stands for 1.0, such as 255 for bytes; 1 leaves values as they are.
    """

    stored: Tensor
    label: Tensor
    unit: float = 1.0

    def __post_init__(self) -> None:
        assert len(self.stored) == len(self.label)

    def batch(self, rows: Tensor) -> Batch:
        """Cut the batch of these rows, in data units; its `index` is the row number itself."""
        x = self.stored.index_select(0, rows).to(torch.float32)
        if self.unit != 1.0:
            x = x.div_(self.unit)  # a division keeps the largest value at exactly 1
        return Batch(x=x, label=self.label.index_select(0, rows), index=rows)

    def to(self, device: torch.device) -> ResidentTensors:
        """Return the same samples on `device`."""
        return ResidentTensors(self.stored.to(device), self.label.to(device), self.unit)


class EpochOrder:
    """A permutation of rows, shape (N,), that is a function of (seed, epoch) alone.

    So a run resumed at epoch e sees the order of an uninterrupted run. Lightning calls `set_epoch`
    on the `sampler` of every loader before each training epoch.
    """

    def __init__(self, rows: Tensor, seed: int) -> None:
        check_seed(seed)
        self.rows = rows
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that `permuted` draws for, counted from 0."""
        self.epoch = epoch

    def permuted(self) -> Tensor:
        """Return the rows in the order of the present epoch, shape (N,)."""
        generator = np.random.default_rng([self.seed, self.epoch])
        return self.rows[torch.from_numpy(generator.permutation(len(self.rows)))]


class FixedOrder(EpochOrder):
    """The order of the first epoch in all epochs, for `trainer.overfit_batches`."""

    def set_epoch(self, epoch: int) -> None:
        """Keep the order."""


class TrainLoader:
    """Batches for training: shuffled each epoch, of one size, shared equally by the processes.

    A last partial batch is used if it holds at least half of `batch_size` samples, and two for each
    process; otherwise it is left out of this epoch. A batch of few samples gives poor batch
    statistics (batch normalisation, deviations of q(c|x)), and the next epoch's order brings its
    samples back. `batch_size` is the number over all processes, so the same run takes the same
    steps on any number of devices.

    The loader can be stopped within an epoch: its state is the epoch and the batches yielded.

    Args:
        rows: Row numbers of the training set, shape (N,).
        epoch_steps: Batches of an epoch; the next one goes on where it ends in the pass over the
            samples, or in the next pass. None: an epoch is a pass.
    """

    def __init__(
        self,
        tensors: Resident,
        rows: Tensor,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        epoch_steps: int | None = None,
    ) -> None:
        _check_sharing(batch_size, rank, world_size)
        if len(rows) < batch_size:
            raise ValueError(
                f"batch_size is {batch_size} but the training set has {len(rows)} samples;"
                f" choose a batch_size of at most {len(rows)}, or more samples"
            )
        if batch_size % world_size:
            raise ValueError(
                f"batch_size is {batch_size}, which {world_size} processes cannot share equally;"
                f" choose a multiple of {world_size}"
            )
        self.sampler = EpochOrder(rows, seed)
        self.batch_size = batch_size
        self.epoch_steps = epoch_steps
        self._tensors = tensors
        self._rank = rank
        self._world_size = world_size
        self._epoch = 0
        self._yielded = 0
        self._resume: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Number of batches in an epoch, the same in every process."""
        return self.epoch_steps or self.pass_steps

    @property
    def pass_steps(self) -> int:
        """Number of batches in a pass over the samples."""
        full, tail = divmod(len(self.sampler.rows), self.batch_size)
        return full + (2 * tail >= self.batch_size and tail >= 2 * self._world_size)

    def __iter__(self) -> Iterator[Any]:
        """Yield this process's share of each batch of the present epoch.

        The order is drawn at the first `next`, not here: Lightning makes the first iterator before
        it sets the epoch.
        """
        self._epoch, self._yielded = self.sampler.epoch, 0
        if self._resume is not None and self._resume[0] == self._epoch:
            self._yielded = self._resume[1]
        self._resume = None
        tensors = self._tensors.at_epoch(self._epoch)
        passes: dict[int, Tensor] = {}

        def cut(number: int) -> Any:
            whole, batch = divmod(self._epoch * len(self) + number, self.pass_steps)
            if whole not in passes:
                passes.clear()
                passes[whole] = self._order(whole)
            rows = passes[whole][batch * self.batch_size :][: self.batch_size]
            equal = len(rows) - len(rows) % self._world_size
            return tensors.batch(rows[:equal][self._rank :: self._world_size])

        for batch in _cut_ahead(cut, range(self._yielded, len(self)), tensors.ahead):
            self._yielded += 1
            yield batch

    def _order(self, number: int) -> Tensor:
        """The rows in the order of a pass, on the device of the samples."""
        sampler = copy(self.sampler)
        sampler.set_epoch(number)
        rows, device = sampler.permuted(), self._tensors.label.device
        if device.type == "cuda":  # the copy is asynchronous
            return rows.pin_memory().to(device, non_blocking=True)
        return rows.to(device)

    def state_dict(self) -> dict[str, int]:
        """The epoch and the number of batches yielded in it."""
        return {"epoch": self._epoch, "yielded": self._yielded}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next iteration of that epoch after the batches already yielded."""
        self._resume = (state["epoch"], state["yielded"])


class EvalLoader:
    """Batches for evaluation: every row exactly once, in order, over all processes together.

    Process r takes rows r, r + world_size, ...; shares may differ by one sample, but every process
    makes the same number of batches, since a process with one more would wait for the others for
    ever where a step synchronises buffers. The batches of a share differ by one sample at most.

    Args:
        rows: Row numbers to evaluate, shape (N,).
    """

    def __init__(
        self,
        tensors: Resident,
        rows: Tensor,
        batch_size: int,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check_sharing(batch_size, rank, world_size)
        largest_share = -(-len(rows) // world_size)
        self._num_batches = -(-largest_share // batch_size)
        if len(rows) // world_size < max(1, self._num_batches):
            raise ValueError(
                f"{len(rows)} evaluation samples in batches of {batch_size} leave one of"
                f" {world_size} processes a step without samples; raise eval_batch_size,"
                " or evaluate with fewer processes"
            )
        self.batch_size = batch_size
        self._tensors = tensors
        self._share = rows[rank::world_size].to(tensors.label.device)

    def __len__(self) -> int:
        """Number of batches, the same in every process."""
        return self._num_batches

    def __iter__(self) -> Iterator[Any]:
        """Yield this process's rows in order."""
        for rows in torch.tensor_split(self._share, self._num_batches):
            yield self._tensors.sample(rows)

    def thinned(self, count: int) -> EvalLoader:
        """Return a loader of about `count` rows, an equal share of each batch; it reads no more."""
        share = -(-count // self._num_batches)
        parts = torch.tensor_split(self._share, self._num_batches)
        loader = copy(self)
        loader._share = torch.cat([rows[:: -(-len(rows) // share)] for rows in parts])
        return loader


def _cut_ahead(cut: Callable[[int], Any], numbers: range, ahead: int) -> Iterator[Any]:
    """Yield `cut(number)` in order; a thread cuts so many more while a batch is in use."""
    if ahead == 0:
        yield from map(cut, numbers)
        return
    reader, waiting = ThreadPoolExecutor(1, "reader"), deque[Future[Any]]()
    try:
        for number in numbers:
            waiting.append(reader.submit(cut, number))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        reader.shutdown(cancel_futures=True)


def _check_sharing(batch_size: int, rank: int, world_size: int) -> None:
    check_count("batch_size", batch_size)
    assert 0 <= rank < world_size, f"rank {rank} of {world_size}"
