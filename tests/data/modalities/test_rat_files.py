"""Dryad's layout: found in any capitalisation, and refused where it is something else."""

from pathlib import Path

import numpy as np
import pytest

from mixvae.data.modalities.rat_files import Recording, find_file, read_rat, write_rat


def recording(rat: str = "barat", trials: int = 6) -> Recording:
    generator = np.random.default_rng(0)
    spikes = generator.poisson(0.2, (trials, 3, 50)).astype(np.uint8)
    return Recording(rat, spikes, generator.integers(1, 3, (trials, 4)), "made here")


@pytest.mark.parametrize(
    ("folder", "prefix"),
    [("Barat", "barat"), ("barat", "Barat"), ("BARAT", "BaRat"), ("", "barat"), ("", "Barat")],
)
def test_files_are_found_in_any_capitalisation(tmp_path, folder, prefix):
    (tmp_path / folder).mkdir(exist_ok=True)
    wanted = recording()
    np.save(tmp_path / folder / f"{prefix}_spike_data_binned.npy", wanted.spikes)
    np.save(tmp_path / folder / f"{prefix}_Trial_info.npy", wanted.trials.astype(np.float64))
    (tmp_path / folder / f"{prefix}_lfp_data_sampled.npy").write_bytes(b"not read")
    found = read_rat(tmp_path, "barat")
    assert isinstance(found.spikes, np.memmap)
    assert np.array_equal(found.spikes, wanted.spikes)
    assert np.array_equal(found.trials, wanted.trials)


def test_a_missing_rat_is_named_with_what_was_found(tmp_path):
    write_rat(tmp_path, recording("barat"))
    write_rat(tmp_path, recording("mitt"))
    with pytest.raises(FileNotFoundError, match=r"rat 'stella' in .*; found there: Barat, Mitt$"):
        read_rat(tmp_path, "stella")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'barat'\?"):
        read_rat(tmp_path, "barrat")


def test_a_missing_file_is_named_with_what_was_found(tmp_path):
    write_rat(tmp_path, recording())
    (tmp_path / "Barat" / "barat_trial_info.npy").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"no barat_trial_info.npy .*Barat; found there: barat_spike_data_binned.npy$",
    ):
        read_rat(tmp_path, "barat")


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data.path is '.*nothing', which is not a folder"):
        find_file(tmp_path / "nothing", "barat", "trial_info.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="found there: nothing"):
        find_file(tmp_path / "empty", "barat", "trial_info.npy")


@pytest.mark.parametrize(
    ("spikes", "trials", "message"),
    [
        (np.ones((6, 3)), np.ones((6, 4)), r"spikes of barat .*\(6, 3\); they must be \(trials, n"),
        (np.ones((0, 3, 5)), np.ones((0, 4)), "none of them 0"),
        (np.ones((6, 3, 5)), np.ones(6), r"trial table of barat .* \(6,\); it must be \(trials, 4"),
        (np.ones((6, 3, 5)), np.ones((6, 3)), r"\(trials, 4 or more\): correct, in sequence"),
        (np.ones((6, 3, 5)), np.ones((7, 4)), "spikes of 6 trials but a table of 7"),
        (np.full((6, 3, 5), "a"), np.ones((6, 4)), "the spikes of barat .* hold <U1, not numbers"),
    ],
)
def test_arrays_that_are_no_session_are_refused(spikes, trials, message):
    with pytest.raises(ValueError, match=message):
        Recording("barat", spikes, trials, "somewhere")


@pytest.mark.parametrize("content", [b"", b"nonsense", "objects", "several"])
def test_a_file_that_is_no_array_is_named(tmp_path: Path, content):
    write_rat(tmp_path, recording())
    path = tmp_path / "Barat" / "barat_spike_data_binned.npy"
    if content == "objects":
        np.save(path, np.array([None]), allow_pickle=True)
    elif content == "several":
        with path.open("wb") as file:
            np.savez(file, a=np.ones(2))
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"barat_spike_data_binned.npy (is not a readable|holds)"):
        read_rat(tmp_path, "barat")
