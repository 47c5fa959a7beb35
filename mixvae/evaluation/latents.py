"""What a multimodal model infers of a split, by event and by the samples of each modality."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics import Metric

from mixvae.contracts import MultimodalBatch, MultimodalPosterior
from mixvae.evaluation.collecting import Collector, joined


class ModalityLatents(NamedTuple):
    """Inferences for N samples of one modality, ordered by row, each sample once.

    Attributes:
        row: Row of each sample in its modality's own array, shape (N,), int64.
        label: Class, -1 where unknown, shape (N,), int64.
        mean: Mean of q(z|x_m), shape (N, L), float32.
        logvar: Its log-variance, natural log, shape (N, L), float32.
    """

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    mean: NDArray[np.float32]
    logvar: NDArray[np.float32]


class LatentTable(NamedTuple):
    """Inferences for N events, ordered by their index, each event once.

    Attributes:
        index: Row of each event in its split's table of events, shape (N,), int64.
        label: Class, -1 where unknown, shape (N,), int64.
        rows: Row of each modality's sample in its own array, -1 where missing, shape (N, M), int64.
        mean: Means of the unimodal posteriors, shape (M, N, L), float32; 0 where missing.
        logvar: Their log-variances, shape (M, N, L), float32; 0 where missing.
        joint_mean: Mean of the joint posterior, shape (N, L), float32; None without one.
        joint_logvar: Its log-variance, shape (N, L), float32; None without one.
    """

    index: NDArray[np.int64]  # type: ignore[assignment]  # shadows the method of tuple
    label: NDArray[np.int64]
    rows: NDArray[np.int64]
    mean: NDArray[np.float32]
    logvar: NDArray[np.float32]
    joint_mean: NDArray[np.float32] | None = None
    joint_logvar: NDArray[np.float32] | None = None

    def of_modality(self, modality: int) -> ModalityLatents:
        """The samples of one modality, each once even if several events share it."""
        rows, first = np.unique(self.rows[:, modality], return_index=True)
        rows, first = rows[rows >= 0], first[rows >= 0]
        mean, logvar = self.mean[modality, first], self.logvar[modality, first]
        return ModalityLatents(rows, self.label[first], mean, logvar)


class LatentCollector(Collector):
    """Collects inferences over batches and ranks."""

    columns = LatentTable._fields

    def update(self, posterior: MultimodalPosterior, batch: MultimodalBatch) -> None:
        """Add a batch."""
        self.add(
            index=batch.index,
            label=batch.label,
            rows=torch.where(batch.present, batch.rows, -1),
            mean=posterior.mean.float().transpose(0, 1),
            logvar=posterior.logvar.float().transpose(0, 1),
        )
        if posterior.joint_mean is not None and posterior.joint_logvar is not None:
            joint_mean, joint_logvar = posterior.joint_mean.float(), posterior.joint_logvar.float()
            self.add(joint_mean=joint_mean, joint_logvar=joint_logvar)

    def compute(self) -> LatentTable:
        """Join all batches of all ranks, ordered by index; a repeated event is kept once."""
        found = self.gathered()
        of_modalities = {name: found[name].transpose(1, 0, 2) for name in ("mean", "logvar")}
        return LatentTable(**{**found, **of_modalities})


class Samples(NamedTuple):
    """Samples of one modality, ordered by row, each once.

    Attributes:
        row: Row of each sample in its modality's own array, shape (N,), int64.
        label: Class, -1 where unknown, shape (N,), int64.
        x: The samples, shape (N, *shape), float32.
    """

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    x: NDArray[np.float32]


class SampleCollector(Metric):
    """Collects the samples of each modality over batches and ranks, each sample once.

    Args:
        max_samples: Largest number of samples kept of a modality. Of more, those that are kept are
            spread over all rows, which may be sorted, and depend on the rows only.
    """

    full_state_update = False

    def __init__(self, num_modalities: int, max_samples: int) -> None:
        super().__init__()
        self.num_modalities = num_modalities
        self.max_samples = max_samples
        self._seen: list[set[int]] = [set() for _ in range(num_modalities)]
        for m in range(num_modalities):
            for name in Samples._fields:
                self.add_state(f"{name}{m}", [], dist_reduce_fx="cat")

    def update(self, batch: MultimodalBatch) -> None:
        """Add the samples of a batch that are new."""
        for m, seen in enumerate(self._seen):
            new = []
            rows, there = batch.rows[:, m].tolist(), batch.present[:, m].tolist()
            for event, (row, is_there) in enumerate(zip(rows, there, strict=True)):
                if is_there and row not in seen:
                    seen.add(row)
                    new.append(event)
            chosen = torch.tensor(new, dtype=torch.int64, device=batch.label.device)
            getattr(self, f"row{m}").append(batch.rows[chosen, m])
            getattr(self, f"label{m}").append(batch.label[chosen])
            getattr(self, f"x{m}").append(batch.x[m][chosen].float())
            if sum(map(len, getattr(self, f"row{m}"))) > 2 * self.max_samples:
                self._thin_out(m)

    def compute(self) -> list[Samples]:
        """Join the samples of all ranks, one table for each modality."""
        tables = []
        for m in range(self.num_modalities):
            row, first = np.unique(joined(getattr(self, f"row{m}")), return_index=True)
            kept = first[np.sort(_spread(row, self.max_samples))]
            columns = (joined(getattr(self, f"{name}{m}"))[kept] for name in Samples._fields)
            tables.append(Samples(*columns))
        return tables

    def _thin_out(self, m: int) -> None:
        """Drop what cannot be among those that are kept; a row met again is dropped again."""
        row = joined(getattr(self, f"row{m}"))
        kept = torch.from_numpy(_spread(row, self.max_samples))
        for name in Samples._fields:
            parts = getattr(self, f"{name}{m}")
            parts[:] = [torch.cat(parts)[kept.to(parts[0].device)]]


def _spread(row: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Places of `count` rows, chosen by a number that follows from each row and mixes them."""
    mixed = row.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.argsort(mixed, kind="stable")[:count]
