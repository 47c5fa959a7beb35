"""Trials kept, split and cut: compared with loops that say what is meant."""

import numpy as np
import pytest

from mixvae.data.modalities.rat_files import Recording
from mixvae.data.modalities.rat_windows import TrialFilter, Windowing, split_trials


def recording(**options: np.ndarray) -> Recording:
    generator = np.random.default_rng(1)
    trials = np.stack(
        [
            generator.integers(0, 2, 60),
            generator.integers(0, 2, 60),
            generator.integers(1, 6, 60),
            generator.integers(1, 6, 60),
        ],
        axis=1,
    )
    spikes = generator.poisson(0.5, (60, 3, 40)).astype(np.float64)
    return Recording("mitt", **{"spikes": spikes, "trials": trials, "source": "here", **options})


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("in_sequence", [True, False])
def test_the_filter_keeps_what_is_asked_for(correct, in_sequence):
    data = recording()
    kept = TrialFilter(("B", "A", "E"), correct, in_sequence)(data, least=1)
    expected = [
        (row, [2, 1, 5].index(odour))
        for row, (right, inside, _, odour) in enumerate(data.trials.tolist())
        if odour in (1, 2, 5) and (right or not correct) and (inside or not in_sequence)
    ]
    assert list(zip(kept.trial.tolist(), kept.label.tolist(), strict=True)) == expected


def test_columns_behind_the_fourth_and_floats_make_no_difference():
    data = recording()
    wide = np.column_stack([data.trials.astype(np.float64), np.full(60, np.nan)])
    chosen = TrialFilter(("A", "B"), True, False)
    for first, second in zip(chosen(data, 1), chosen(recording(trials=wide), 1), strict=True):
        assert np.array_equal(first, second)


def test_an_odour_that_is_absent_is_named():
    data = recording()
    few = data.trials.copy()
    few[few[:, 3] == 3, 3] = 4
    with pytest.raises(ValueError, match=r"mitt \(here\) has 0 trials of the odour C to keep"):
        TrialFilter(("A", "C"), False, False)(recording(trials=few), least=1)
    few[:2] = [1, 1, 3, 3]
    with pytest.raises(ValueError, match=r"has 2 trials of the odour C to keep; it needs 3 or mo"):
        TrialFilter(("A", "C"), True, False)(recording(trials=few), least=3)


@pytest.mark.parametrize(
    ("cut", "offsets"),
    [
        (Windowing(25, 16, 10), list(range(16))),
        (Windowing(25, 4, 10), [0, 5, 10, 15]),
        (Windowing(10, 1, 10), [0]),
        (Windowing(25, 1, 10), [0]),
        (Windowing(9, 3, 2), [0, 4, 7]),
    ],
)
def test_sub_windows_are_cut_as_a_loop_cuts_them(cut, offsets):
    data = recording()
    trials = np.array([3, 0, 59])
    samples = cut(data, trials, start=12)
    assert cut.offsets.tolist() == offsets
    assert samples.dtype == np.float32
    expected = [
        data.spikes[trial, :, 12 + first : 12 + first + cut.sub_length].ravel()
        for trial in trials
        for first in offsets
    ]
    assert np.array_equal(samples, expected)
    assert cut.rows(np.array([0, 2])).tolist() == [
        trial * cut.num + w for trial in (0, 2) for w in range(cut.num)
    ]


def test_a_window_outside_the_recording_is_refused():
    with pytest.raises(ValueError, match=r"window of mitt, bins 16 to 41, lies outside .* 40 bins"):
        Windowing(25, 16, 10)(recording(), np.arange(60), start=16)
    assert len(Windowing(25, 16, 10)(recording(), np.arange(60), start=15)) == 960


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_spikes_that_are_no_counts_are_refused(value):
    spikes = recording().spikes.copy()
    spikes[7, 1, 20] = value
    data = recording(spikes=spikes)
    message = rf"spikes of mitt \(here\) hold {value} in trial 7, counted from 0; they must be fini"
    with pytest.raises(ValueError, match=message):
        Windowing(25, 16, 10)(data, np.arange(60), start=0)
    # what is not used is not asked about
    Windowing(25, 16, 10)(data, np.arange(8, 60), start=0)


def test_a_split_is_stratified_and_the_same_in_any_company():
    groups = {0: np.arange(30), 1: np.arange(30, 50)}
    parts = split_trials("mitt", groups, [0.1, 0.2], seed=0)
    assert {split: [len(v) for v in part.values()] for split, part in parts.items()} == {
        "train": [21, 14],
        "val": [3, 2],
        "test": [6, 4],
    }
    again, other, seeded = (
        split_trials(rat, groups, [0.1, 0.2], seed)["test"][0].tolist()
        for rat, seed in (("mitt", 0), ("barat", 0), ("mitt", 1))
    )
    assert again == parts["test"][0].tolist()
    assert again not in (other, seeded)
