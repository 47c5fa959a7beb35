"""One rat's samples: which trials are kept, how they are split, and their sub-windows."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixvae.data.base import SPLITS, Split
from mixvae.data.checks import check_count
from mixvae.data.modalities.pairing import split_by_class
from mixvae.data.modalities.rat_files import CORRECT, IN_SEQUENCE, ODOUR, ODOUR_NAMES, Recording
from mixvae.spacing import spaced

Groups = dict[int, np.ndarray]


class Kept(NamedTuple):
    """The trials of one rat that are kept: row in the recording and class, shape (T,), int64."""

    trial: np.ndarray
    label: np.ndarray

    def by_class(self, num_classes: int) -> Groups:
        """Numbers of the kept trials, 0..T-1, of each class."""
        return {label: np.flatnonzero(self.label == label) for label in range(num_classes)}


class RatWindows(NamedTuple):
    """One rat's samples.

    Attributes:
        samples: Spikes per bin, shape (T * W, neurons * bins), float32 or uint8, trial by trial.
        parts: Numbers of the kept trials, 0..T-1, of each split and class.
        private: The true private part in the middle of each sub-window, by name, shape (T * W, C);
            empty where unknown.
    """

    samples: np.ndarray
    kept: Kept
    parts: dict[Split, Groups]
    private: dict[str, np.ndarray]


@dataclass(frozen=True)
class TrialFilter:
    """Which trials are kept."""

    odours: tuple[str, ...]  # of A to E; their order numbers the classes
    correct_only: bool
    in_sequence_only: bool

    def __call__(self, recording: Recording, least: int) -> Kept:
        """Choose a recording's trials, in its order, at least so many of each odour."""
        table = recording.trials
        numbers = [ODOUR_NAMES.index(odour) + 1 for odour in self.odours]
        wanted = np.isin(table[:, ODOUR], numbers)
        if self.correct_only:
            wanted &= table[:, CORRECT] == 1
        if self.in_sequence_only:
            wanted &= table[:, IN_SEQUENCE] == 1
        trial = np.flatnonzero(wanted)
        label = np.array([numbers.index(odour) for odour in table[trial, ODOUR]], dtype=np.int64)
        counts = np.bincount(label, minlength=len(numbers))
        for odour, count in zip(self.odours, counts, strict=True):
            if count < least:
                raise ValueError(
                    f"{recording.rat} ({recording.source}) has {count} trials of the odour {odour}"
                    f" to keep; it needs {least} or more. Leave out the rat or the odour, or keep"
                    " more trials (data.correct_only, data.in_sequence_only)"
                )
        return Kept(trial, label)


@dataclass(frozen=True)
class Windowing:
    """How a trial is cut.

    Attributes:
        num: Sub-windows of a window, W, evenly spread over it from its first bin to its last.
    """

    length: int
    num: int
    sub_length: int

    def __post_init__(self) -> None:
        check_count("subwindow_length", self.sub_length)
        check_count("num_subwindows", self.num)
        check_count("window_length", self.length)
        if self.sub_length > self.length:
            raise ValueError(
                f"subwindow_length is {self.sub_length}, longer than the window of {self.length}"
                " bins; choose a shorter one, or raise window_length"
            )
        most = self.length - self.sub_length + 1
        if self.num > most:
            raise ValueError(
                f"num_subwindows is {self.num}, but a window of {self.length} bins has only {most}"
                f" different sub-windows of {self.sub_length}"
            )

    @property
    def offsets(self) -> np.ndarray:
        """First bin of each sub-window within the window, shape (W,), int64."""
        return spaced(self.length - self.sub_length + 1, self.num)

    def __call__(self, recording: Recording, trials: np.ndarray, start: int) -> np.ndarray:
        """Cut the sub-windows of some trials.

        Args:
            trials: Rows of its trials, shape (T,).
            start: First bin of the window.

        Returns:
            Spikes per bin, shape (T * W, neurons * sub_length), float32, trial by trial; the bins
            of a neuron stand together.
        """
        num_bins = recording.spikes.shape[2]
        if start + self.length > num_bins:
            raise ValueError(
                f"the window of {recording.rat}, bins {start} to {start + self.length}, lies"
                f" outside its recording of {num_bins} bins ({recording.source}); change"
                " data.window_starts or data.window_length"
            )
        window = np.asarray(recording.spikes[trials, :, start : start + self.length], np.float32)
        wrong = ~np.isfinite(window) | (window < 0)
        if wrong.any():
            trial = trials[np.nonzero(wrong)[0][0]]
            raise ValueError(
                f"the spikes of {recording.rat} ({recording.source}) hold {window[wrong][0]} in"
                f" trial {trial}, counted from 0; they must be finite and 0 or more"
            )
        parts = [window[:, :, first : first + self.sub_length] for first in self.offsets]
        return np.stack(parts, axis=1).reshape(len(trials) * self.num, -1)

    def private(
        self, recording: Recording, trials: np.ndarray, start: int
    ) -> dict[str, np.ndarray]:
        """The private part in the middle of each sub-window, by name, shape (T * W, C)."""
        middle = start + self.offsets + self.sub_length // 2
        return {
            name: part[:, trials][:, :, middle].reshape(len(part), -1).T
            for name, part in recording.private.items()
        }

    def rows(self, trials: np.ndarray) -> np.ndarray:
        """Rows of the sub-windows of trials, shape (T,), among the samples, shape (T * W,)."""
        return (trials[:, None] * self.num + np.arange(self.num)).ravel()


def split_trials(
    rat: str, groups: Groups, fractions: Sequence[float], seed: int
) -> dict[Split, Groups]:
    """Split the trials of one rat, within each class; other rats do not change its split.

    `fractions` are the shares of validation and test.
    """
    # the stream 1 is the split's own, beside those of the order and of the pairing
    generator = np.random.default_rng([seed, 1, zlib.crc32(rat.encode())])
    val, test, train = split_by_class(groups, fractions, generator)
    return dict(zip(SPLITS, (train, val, test), strict=True))
