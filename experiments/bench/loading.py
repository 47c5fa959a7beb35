"""An epoch of batches against torch's sample-wise DataLoader, on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from experiments.bench.measuring import Case, Run
from mixvae.data import HippocampusDataModule
from mixvae.data.modalities.rat_files import ODOUR, Recording
from mixvae.data.resident import ResidentTensors, TrainLoader

BATCH_SIZE = {"uint8": 256, "float32": 512}


def cases() -> Iterator[Case]:
    """MNIST as bytes, genes as floats, and the rats' windows."""
    for name, samples, features, stored in (
        ("MNIST", 60000, 784, "uint8"),
        ("genes", 5000, 5032, "float32"),
    ):
        build = partial(array_sides, samples, features, stored)
        told = f"{name}, {samples:,} x {features:,} {stored}"
        yield Case("loading", told, {}, samples, lambda device, build=build: build(), trains=False)
    rats = HippocampusDataModule(seed=0)
    rats.setup()
    loader = rats.train_dataloader()
    samples = len(loader) * loader.batch_size
    yield Case(
        "loading", "rats, five at a time", {}, samples, lambda _: rat_sides(rats), trains=False
    )


def array_sides(num_samples: int, num_features: int, stored: str) -> dict[str, Run]:
    """Loaders of the same samples, each over one epoch."""
    torch.manual_seed(0)
    label = torch.zeros(num_samples, dtype=torch.int64)
    index = torch.arange(num_samples)
    if stored == "uint8":
        pixels = torch.randint(0, 256, (num_samples, num_features), dtype=torch.uint8)
        resident, plain = ResidentTensors(pixels, label, unit=255), pixels.float() / 255
    else:
        plain = torch.rand(num_samples, num_features)
        resident = ResidentTensors(plain, label)
    size = BATCH_SIZE[stored]
    dataset = TensorDataset(plain, label, index)
    return {
        "DataLoader": partial(consume, DataLoader(dataset, size, shuffle=True)),
        "mixvae": partial(consume, TrainLoader(resident, index, size, seed=0)),
    }


class RatDataset(Dataset):
    """Events of several rats, cut from the recordings when they are asked for.

    In the manner of mmvmvae-hippocampal: for each event and rat, the trials of the event's odour
    are looked up, then one of them and one sub-window of it is cut out and flattened.

    Args:
        recordings: The rats' recordings.
        starts: First bin of each rat's window.
        length: Bins of a window.
        sub_length: Bins of a sub-window.
    """

    def __init__(
        self, recordings: list[Recording], starts: list[int], length: int, sub_length: int
    ) -> None:
        self.sub_length = sub_length
        self.windows = length - sub_length + 1
        self.odours = [recording.trials[:, ODOUR] for recording in recordings]
        self.spikes = [
            np.asarray(recording.spikes[:, :, start : start + length], np.float64)
            for recording, start in zip(recordings, starts, strict=True)
        ]
        self.counts = [
            min((odours == label).sum() for odours in self.odours) for label in range(1, 5)
        ]

    def __len__(self) -> int:
        return int(sum(self.counts)) * self.windows

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], int]:
        trial, first = divmod(index, self.windows)
        label = 0
        while trial >= self.counts[label]:
            trial -= self.counts[label]
            label += 1
        samples = {}
        for rat, (spikes, odours) in enumerate(zip(self.spikes, self.odours, strict=True)):
            window = spikes[odours == label + 1][trial, :, first : first + self.sub_length]
            samples[str(rat)] = torch.tensor(window, dtype=torch.float32).flatten()
        return samples, label


def rat_sides(rats: HippocampusDataModule) -> dict[str, Run]:
    """Both loaders, each over as many samples as an epoch of ours has."""
    recordings = [rats.simulator.record(rat) for rat in rats.rats]
    starts = [rats.window_starts[rat] for rat in rats.rats]
    cut = rats.windowing
    dataset = RatDataset(recordings, starts, cut.length, cut.sub_length)
    ours = rats.train_dataloader()
    theirs = DataLoader(dataset, ours.batch_size, shuffle=True, drop_last=True)
    num_batches = len(ours)
    assert len(theirs) >= num_batches
    return {
        "DataLoader": lambda: consume(zip(range(num_batches), theirs, strict=False)),
        "mixvae": partial(consume, ours),
    }


def consume(loader: Iterable[Any]) -> None:
    """Take every batch of one epoch."""
    for _ in loader:
        pass
