"""Simulated rats: the sizes of the real ones, tuned to odours, moved by nuisances."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest

from mixvae.data.modalities.rat_files import (
    CORRECT,
    ENTRY_BIN,
    IN_SEQUENCE,
    ODOUR,
    POSITION,
    read_rat,
)
from mixvae.data.modalities.rat_simulator import RATS, RatSimulator, simulate_rats
from tests.composed import composed

NEURONS = {"barat": 92, "buchanan": 79, "mitt": 104, "stella": 49, "superchris": 46}


@pytest.mark.parametrize("rat", RATS)
def test_a_session_has_the_sizes_of_the_real_one(rat):
    recording = RatSimulator(num_bins=210).record(rat)
    assert recording.spikes.shape == (RATS[rat].num_trials, NEURONS[rat], 210)
    assert recording.trials.shape == (RATS[rat].num_trials, 4)
    assert recording.spikes.dtype == np.uint8
    assert 0.05 < recording.spikes.mean() < 0.2  # 5 to 20 Hz
    table = recording.trials
    assert set(table[:, POSITION]) == set(table[:, ODOUR]) == {1, 2, 3, 4, 5}
    assert np.array_equal(table[:, IN_SEQUENCE], table[:, ODOUR] == table[:, POSITION])
    assert 0.75 < table[:, CORRECT].mean() < 0.97
    assert 0 < (table[:, IN_SEQUENCE] == 0).mean() < 0.25
    # an incorrect response ends the sequence
    after = table[1:][table[:-1, CORRECT] == 0]
    assert (after[:, POSITION] == 1).all()


def test_a_session_is_a_function_of_the_settings_alone():
    first, again = (RatSimulator(num_bins=20).record("mitt") for _ in range(2))
    other = RatSimulator(seed=1, num_bins=20).record("mitt")
    assert np.array_equal(first.spikes, again.spikes)
    assert np.array_equal(first.trials, again.trials)
    assert not np.array_equal(first.trials, other.trials)


def odour_share(**settings: float) -> float:
    """Share of the variance of trial-wise counts between odours, averaged over neurons."""
    recording = RatSimulator(num_bins=300, **settings).record("buchanan")
    counts = recording.spikes[:, :, 225:300].sum(axis=2).astype(np.float64)
    odours = recording.trials[:, ODOUR]
    means = np.stack([counts[odours == k].mean(axis=0) for k in range(1, 6)])
    return float((means.var(axis=0) / counts.var(axis=0)).mean())


def test_the_odour_is_told_by_tuning_and_hidden_by_gain():
    by_chance = odour_share(tuning=0.0)
    assert by_chance < 0.04  # four degrees of freedom of 258 trials
    assert odour_share() > 3 * by_chance
    assert odour_share(gain=1.0) < odour_share(gain=0.0)


def test_the_private_part_is_what_moves_the_neurons():
    off = {"tuning": 0.0, "theta": 0.0, "gain": 0.0, "state": 0.0, "drift": 0.0, "num_bins": 100}
    assert RatSimulator(**off).record("mitt").private == {}
    only = RatSimulator(**off | {"gain": 1.0}).record("mitt")
    counts = only.spikes.sum(axis=(1, 2))
    assert np.corrcoef(np.log(counts), only.private["gain"][0, :, 0])[0, 1] > 0.95
    only = RatSimulator(**off | {"theta": 2.0, "num_bins": 400}).record("mitt")
    cosine, sine = only.private["phase"]
    assert np.allclose(cosine**2 + sine**2, 1)
    # each neuron fires at a phase of its own, which is far from even for most
    weighed = np.einsum("tnb,tb->n", only.spikes.astype(float), cosine + 1j * sine)
    assert np.median(np.abs(weighed) / only.spikes.sum(axis=(0, 2))) > 0.5


def test_the_response_begins_after_port_entry():
    recording = RatSimulator(theta=0.0, num_bins=280).record("buchanan")
    odours = recording.trials[:, ODOUR]

    def spread(window: slice) -> float:
        counts = recording.spikes[:, :, window].sum(axis=2)
        return np.stack([counts[odours == k].mean(axis=0) for k in range(1, 6)]).var(axis=0).mean()

    assert spread(slice(ENTRY_BIN + 25, ENTRY_BIN + 75)) > 3 * spread(
        slice(ENTRY_BIN - 50, ENTRY_BIN)
    )


def test_theta_is_the_rhythm_of_single_trials_and_averages_out():
    recording = RatSimulator(num_bins=100).record("barat")
    depth = np.abs(np.fft.rfft(recording.spikes[:, :, :100], axis=2)) ** 2
    power = depth.mean(axis=(0, 1))
    at_8_hz = 8  # a hundred bins are one second
    assert power[7:10].max() == power[1:].max() == power[at_8_hz]
    assert power[at_8_hz] > 1.5 * np.median(power[20:])
    averaged = np.abs(np.fft.rfft(recording.spikes[:, :, :100].mean(axis=0), axis=1)) ** 2
    assert averaged.mean(axis=0)[at_8_hz] < 0.05 * power[at_8_hz]


def test_files_are_what_the_simulator_makes(tmp_path):
    out = tmp_path / "new" / "rats"
    said = simulate_rats(str(out), seed=3, num_trials=20, num_bins=30)
    assert str(out) in said
    assert sorted(path.name for path in out.iterdir()) == [rat.capitalize() for rat in NEURONS]
    for rat in NEURONS:
        expected = RatSimulator(seed=3, num_trials=20, num_bins=30).record(rat)
        found = read_rat(out, rat)
        assert np.array_equal(found.spikes, expected.spikes)
        assert np.array_equal(found.trials, expected.trials)
    umask = os.umask(0)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o777 & ~umask
    assert list(out.parent.iterdir()) == [out]


def test_the_command_that_it_prints_trains_on_them(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = simulate_rats("some rats", num_trials=5, num_bins=3)
    program, _, module, *arguments = shlex.split(said.partition("train on them: ")[2])
    assert (program, module) == ("python", "mixvae.train")
    assert composed(arguments).data.path == str(tmp_path / "some rats")


def test_files_are_never_written_over_nor_left_unfinished(tmp_path: Path, monkeypatch):
    out = tmp_path / "rats"
    simulate_rats(str(out), num_trials=5, num_bins=3)
    with pytest.raises(FileExistsError, match="exists; name a folder that does not"):
        simulate_rats(str(out))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mixvae.data.modalities.rat_simulator.write_rat", fail)
    with pytest.raises(KeyboardInterrupt):
        simulate_rats(str(tmp_path / "other"), num_trials=5, num_bins=3)
    assert list(tmp_path.iterdir()) == [out]


def test_rates_and_neurons_are_as_asked():
    settings = {"theta": 0.0, "gain": 0.0, "state": 0.0, "tuning": 0.0, "drift": 0.0}
    slow = RatSimulator(rate=2.0, num_neurons=[30, 20, 10, 5, 4], num_bins=100, **settings)
    recording = slow.record("barat")
    assert recording.spikes.shape[1] == 30
    usual = RatSimulator(num_bins=100, **settings).record("barat")
    assert recording.spikes.mean() < 0.6 * usual.spikes.mean()


def test_a_walk_moves_the_population_within_a_trial():
    still, walking = (
        RatSimulator(theta=0.0, num_bins=100, walk=walk).record("barat") for walk in (0.0, 1.0)
    )
    counts = [one.spikes[:, :, :50].sum(axis=2).astype(float) for one in (still, walking)]
    assert counts[1].var(axis=0).mean() > 2 * counts[0].var(axis=0).mean()
