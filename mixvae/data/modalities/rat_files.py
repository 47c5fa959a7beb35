"""The rats' recordings: files as Dryad has them, checked and cut into windows.

A rat has two files in a folder of its own name, `<rat>_spike_data_binned.npy` and
`<rat>_trial_info.npy`, in any capitalisation; files that lie in the upper folder itself are found
too. Local field potentials (`<rat>_lfp_data_sampled.npy`) are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixvae.suggestions import nearest

SPIKES = "spike_data_binned.npy"
TRIALS = "trial_info.npy"
BIN_SECONDS = 0.01
ENTRY_BIN = 200  # the rat's nose enters the port here
CORRECT, IN_SEQUENCE, POSITION, ODOUR = range(4)  # columns of the trial table
ODOUR_NAMES = ("A", "B", "C", "D", "E")

Private = Mapping[str, np.ndarray]
"""What moves one rat's neurons alone: by name, numbers of shape (C, trials, bins)."""


@dataclass(frozen=True)
class Recording:
    """One rat's session.

    Attributes:
        spikes: Spikes per bin of 10 ms, shape (trials, neurons, bins).
        trials: Correct (1, 0), in sequence (1, 0), position (1-5) and odour (1-5) of each trial,
            shape (trials, 4 or more).
        private: The true private part of a simulated recording; empty where unknown.
    """

    rat: str
    spikes: np.ndarray
    trials: np.ndarray
    source: str
    private: Private = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.spikes.ndim != 3 or 0 in self.spikes.shape:
            raise ValueError(
                f"the spikes of {self.rat} ({self.source}) have the shape {self.spikes.shape};"
                " they must be (trials, neurons, bins), none of them 0"
            )
        if self.trials.ndim != 2 or self.trials.shape[1] < 4:
            raise ValueError(
                f"the trial table of {self.rat} ({self.source}) has the shape {self.trials.shape};"
                " it must be (trials, 4 or more): correct, in sequence, position, odour"
            )
        if len(self.spikes) != len(self.trials):
            raise ValueError(
                f"{self.rat} ({self.source}) has spikes of {len(self.spikes)} trials but a table"
                f" of {len(self.trials)}; both files must be of the same session"
            )
        for what, array in (("spikes", self.spikes), ("trial table", self.trials)):
            if array.dtype.kind not in "buif":
                raise ValueError(
                    f"the {what} of {self.rat} ({self.source}) hold {array.dtype}, not numbers"
                )


def find_file(folder: Path, rat: str, ending: str) -> Path:
    """Find a rat's file, `<rat>_<ending>` in any capitalisation, in a folder of rats' folders."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data.path is {str(folder)!r}, which is not a folder; it must hold one folder for each"
            " rat. Without data.path a simulator makes the recordings"
        )
    wanted = f"{rat}_{ending}".lower()
    inside = [entry for entry in _entries(folder) if entry.is_dir() and entry.name.lower() == rat]
    for place in (*inside, folder):
        for entry in _entries(place):
            if entry.name.lower() == wanted and entry.is_file():
                return entry
    place = inside[0] if inside else folder
    found = [entry.name for entry in _entries(place)]
    hint = "" if inside else nearest(rat, map(str.lower, found))
    raise FileNotFoundError(
        f"no {wanted} for the rat {rat!r} in {place}; found there:"
        f" {', '.join(found[:20]) or 'nothing'}{hint}"
    )


def read_rat(folder: Path, rat: str) -> Recording:
    """Read one rat's session; its spikes stay on disk until they are cut."""
    spikes, trials = (find_file(folder, rat, ending) for ending in (SPIKES, TRIALS))
    return Recording(rat, _load(spikes), np.asarray(_load(trials)), str(spikes.parent))


def write_rat(folder: Path, recording: Recording) -> None:
    """Write one rat's session as the files that `read_rat` reads."""
    own = folder / recording.rat.capitalize()
    own.mkdir(parents=True)
    for ending, array in {SPIKES: recording.spikes, TRIALS: recording.trials}.items():
        np.save(own / f"{recording.rat}_{ending}", array, allow_pickle=False)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _load(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a readable .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} holds several arrays; it must be one .npy array")
    return array
