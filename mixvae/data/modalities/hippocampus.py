"""The five-rat hippocampus experiment: each rat is a modality, and the odour is common to all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mixvae.contracts import ModalitySpec, MultimodalSpec
from mixvae.data.base import SPLITS, Split, SplitRows
from mixvae.data.checks import check_count
from mixvae.data.modalities.base import AbstractMultimodalDataModule
from mixvae.data.modalities.pairing import (
    MISSING,
    Events,
    drop_at_random,
    pair_by_class,
    pair_in_order,
)
from mixvae.data.modalities.rat_files import ODOUR_NAMES, Recording, read_rat
from mixvae.data.modalities.rat_simulator import RATS, RatSimulator
from mixvae.data.modalities.rat_windows import RatWindows, TrialFilter, Windowing, split_trials
from mixvae.data.modalities.resident import ModalityStores, MultimodalTensors, compact
from mixvae.messages import warn
from mixvae.suggestions import suggestion

STARTS = {"barat": 225, "buchanan": 225, "mitt": 250, "stella": 250, "superchris": 225}


class HippocampusDataModule(AbstractMultimodalDataModule):
    """Spikes of hippocampal neurons around the sampling of an odour, shape (neurons * 10,) a rat.

    Rats sampled odours in separate sessions, so an event is one sub-window of a trial of each rat,
    all of the same odour and the same place in the window. Trials are split before they are cut,
    and within each odour, so that no window of a test trial is seen in training. In each split an
    odour gives as many events as the rat with most trials of it has sub-windows; the trials of the
    others are repeated, in new random company.

    The files are those of Dryad, doi:10.7280/D14X30 (Shahbaba et al. 2022). Without them the
    recordings are simulated, see `RatSimulator`, and go through the same checks and cuts.

    `split: paper` does as the authors of MMVM VAE: trials in the order of the files, as many of an
    odour as the rat with fewest has, and the same events to train, validate and test. It leaks:
    its figures say how well a model knows its training windows. (They also keep incorrect trials.)

    Args:
        path: Folder that holds the rats' folders; None simulates the recordings.
        rats: Names of the rats, M of them.
        window_starts: First bin of each rat's window; port entry is at bin 200.
        window_length: Bins of a window, each of 10 ms.
        num_subwindows: Sub-windows of a window, W, evenly spread over it.
        odours: Odours to keep, of A to E; they are the classes.
        correct_only: Whether to keep only trials with a correct response.
        in_sequence_only: Whether to keep only trials whose odour came in its place.
        split: `trial`, or `paper`, which leaks.
        val_fraction: Share of each rat's trials of an odour that validates, in (0, 1).
        repair_each_epoch: Whether training trials are paired and hidden anew in each epoch, as a
            function of the seed and the epoch; otherwise as a function of the seed.
        standardise: Whether each feature gets mean 0 and deviation 1 in training.
        simulator: Makes the recordings without a path; None is `RatSimulator()`.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        rats: Sequence[str] = tuple(STARTS),
        window_starts: Mapping[str, int] = STARTS,
        window_length: int = 25,
        num_subwindows: int = 16,
        subwindow_length: int = 10,
        odours: Sequence[str] = ("A", "B", "C", "D"),
        correct_only: bool = True,
        in_sequence_only: bool = False,
        split: Literal["trial", "paper"] = "trial",
        val_fraction: float = 0.15,
        repair_each_epoch: bool = True,
        standardise: bool = False,
        simulator: RatSimulator | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(val_fraction=val_fraction, **shared)
        if split not in ("trial", "paper"):
            raise ValueError(f"split is {split!r}; it must be trial or paper")
        self.path = None if path is None else Path(path).expanduser()
        self.rats = tuple(rat.lower() for rat in rats)
        self.window_starts = {rat.lower(): start for rat, start in window_starts.items()}
        self._check_rats()
        _check_names("odours", odours, ODOUR_NAMES)
        self.trial_filter = TrialFilter(tuple(odours), correct_only, in_sequence_only)
        self.windowing = Windowing(window_length, num_subwindows, subwindow_length)
        self.split: Literal["trial", "paper"] = split
        self.repair_each_epoch = repair_each_epoch
        self.standardise = standardise
        self.simulator = RatSimulator() if simulator is None else simulator
        self._windows: tuple[RatWindows, ...] = ()

    @property
    def spec(self) -> MultimodalSpec:
        """One modality a rat; with files, reads their sizes."""
        return MultimodalSpec(
            name="hippocampus",
            modalities=tuple(
                ModalitySpec(rat, (self._num_neurons(rat) * self.windowing.sub_length,))
                for rat in self.rats
            ),
            num_classes=len(self.trial_filter.odours),
            class_names=self.trial_filter.odours,
        )

    def sample_table(self, split: Split, modality: int) -> dict[str, np.ndarray]:
        """The samples of one rat in a split, each once.

        Returns:
            `row`: row in the rat's own store, as in `MultimodalBatch.rows`; `trial`: row of its
            trial in the recording; `window`: number of its sub-window; `label`: its class. Each of
            shape (n,), int64, by row.
        """
        assert self._windows, "setup() comes before the samples"
        _, kept, parts, _ = self._windows[modality]
        trials = np.sort(np.concatenate(list(parts[split].values())))
        num = self.windowing.num
        return {
            "row": self.windowing.rows(trials),
            "trial": np.repeat(kept.trial[trials], num),
            "window": np.tile(np.arange(num), len(trials)),
            "label": np.repeat(kept.label[trials], num),
        }

    def private_part(self, modality: int) -> Mapping[str, np.ndarray]:
        """What the simulator knows of one rat alone, see `RatSimulator`: phase, gain and state."""
        assert self._windows, "setup() comes before the samples"
        return self._windows[modality].private

    def event_rows(self, split: Split) -> np.ndarray:
        """Number the events of a split from 0, shape (N,); they are made, not recorded."""
        assert self._splits, "setup() comes before the events"
        return np.arange(len(self._splits[split].rows))

    def read_splits(self) -> dict[Split, SplitRows]:
        """Read or simulate the recordings, cut and split them, and pair their trials."""
        if self.split == "paper":
            warn(
                "split=paper trains, validates and tests on the same windows, as the paper's code"
                " does: its metrics are not of new trials"
            )
        record = self.simulator.record if self.path is None else partial(read_rat, self.path)
        self._windows = tuple(self._cut(record(rat)) for rat in self.rats)
        stores = ModalityStores([torch.from_numpy(rat.samples) for rat in self._windows])
        splits: dict[Split, SplitRows] = {}
        repairs = self.repair_each_epoch and self.split != "paper"
        for number, split in enumerate(SPLITS):
            events = self._pair(split, number)
            tensors = MultimodalTensors(
                stores,
                torch.from_numpy(self._with_windows(events.rows)),
                torch.from_numpy(np.repeat(events.label, self.windowing.num)),
                self._events_of_epoch if split == "train" and repairs else None,
                is_complete=split != "train" or not self.missing_fraction,
            )
            splits[split] = SplitRows(tensors, torch.arange(len(tensors.label)))
        return splits

    @property
    def tests_on_training(self) -> bool:
        """Whether all splits hold the same samples."""
        return self.split == "paper"

    def _events_of_epoch(self, epoch: int) -> torch.Tensor:
        return torch.from_numpy(self._with_windows(self._pair("train", 0, epoch).rows))

    def _pair(self, split: Split, number: int, epoch: int = 0) -> Events:
        """Pair trials as a function of seed, split and epoch."""
        groups = [rat.parts[split] for rat in self._windows]
        # the stream 2 is the pairing's own: the order of training uses [seed, epoch]
        generator = np.random.default_rng([self.seed, 2, number, epoch])
        in_order = self.split == "paper"
        events = pair_in_order(groups) if in_order else pair_by_class(groups, generator)
        if split == "train" and self.missing_fraction:
            rows = drop_at_random(events.rows, self.missing_fraction, generator)
            events = events._replace(rows=rows)
        return events

    def _with_windows(self, trials: np.ndarray) -> np.ndarray:
        """Rows of all sub-windows of paired trials, (E, M), as (E * W, M)."""
        columns = []
        for column in trials.T:
            missing = np.repeat(column == MISSING, self.windowing.num)
            columns.append(np.where(missing, MISSING, self.windowing.rows(column)))
        return np.stack(columns, axis=1)

    def _num_neurons(self, rat: str) -> int:
        if self.path is None:
            return self.simulator.traits_of(rat).num_neurons
        return int(read_rat(self.path, rat).spikes.shape[1])

    def _cut(self, recording: Recording) -> RatWindows:
        """Choose, split and cut one rat's trials."""
        paper = self.split == "paper"
        kept = self.trial_filter(recording, least=1 if paper else len(SPLITS))
        groups = kept.by_class(len(self.trial_filter.odours))
        if paper:
            parts = dict.fromkeys(SPLITS, groups)
        else:
            fractions = [self.val_fraction, self.test_fraction]
            parts = split_trials(recording.rat, groups, fractions, self.split_seed)
        start = self.window_starts[recording.rat]
        samples = self.windowing(recording, kept.trial, start)
        private = self.windowing.private(recording, kept.trial, start)
        training = np.concatenate(list(parts["train"].values()))
        samples = self.standardised(recording.rat, samples, self.windowing.rows(training))
        return RatWindows(compact(samples), kept, parts, private)

    def _check_rats(self) -> None:
        """Refuse unknown or repeated rats, and rats without a window."""
        # files may be of any rat; a missing one is refused when they are read
        _check_names("rats", self.rats, RATS if self.path is None else self.rats)
        for rat in self.rats:
            if rat not in self.window_starts:
                raise ValueError(
                    f"window_starts has no first bin for the rat {rat!r}; it has them for"
                    f" {', '.join(self.window_starts)}"
                )
            check_count(f"window_starts.{rat}", self.window_starts[rat], least=0)


def _check_names(what: str, names: Sequence[str], known: Iterable[str]) -> None:
    """Refuse an empty list, and repeated or unknown names."""
    if not names:
        raise ValueError(f"{what} is empty; name at least one")
    valid = list(known)
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(f"{what} names {name!r} twice")
        if name not in valid:
            raise ValueError(f"{what} names the unknown {name!r}{suggestion(name, valid)}")
