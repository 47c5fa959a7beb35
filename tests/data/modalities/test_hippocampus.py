"""Five rats: who meets whom, what is held out, what is refused."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mixvae.contracts import MultimodalBatch
from mixvae.data import HippocampusDataModule, RatSimulator
from mixvae.data.modalities.rat_files import read_rat
from mixvae.data.modalities.rat_simulator import simulate_rats
from mixvae.data.resident import TrainLoader
from tests.data.conftest import set_up

RATS = ("barat", "buchanan", "mitt", "stella", "superchris")
SMALL = RatSimulator(num_trials=60, num_bins=280)


def make(**options: object) -> HippocampusDataModule:
    return HippocampusDataModule(
        **{"seed": 0, "batch_size": 32, "rats": ["stella", "superchris"], "simulator": SMALL}
        | options
    )


def ready(**options: object) -> HippocampusDataModule:
    return set_up(make(**options))


def start(data: HippocampusDataModule) -> None:
    """Ask in the order of a run: sizes for the model, then the data."""
    assert data.spec
    data.setup()


def events(loader: object) -> np.ndarray:
    return torch.cat([batch.rows for batch in loader]).numpy()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "rats"
    simulate_rats(str(folder), num_trials=60, num_bins=280)
    return folder


@pytest.fixture
def changed(files: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies stella's and superchris' files with a change to one array."""

    def change(ending: str, edit: Callable[[np.ndarray], np.ndarray]) -> Path:
        for rat in ("Stella", "Superchris"):
            (tmp_path / rat).mkdir()
            for path in (files / rat).iterdir():
                array = np.load(path)
                if path.name == f"stella_{ending}.npy":
                    array = edit(array)
                np.save(tmp_path / rat / path.name, array)
        return tmp_path

    return change


def test_files_and_the_simulator_give_the_same_batches(files):
    for split in ("train", "val", "test"):
        simulated, read = (ready(path=path).eval_dataloader(split) for path in (None, str(files)))
        for first, second in zip(simulated, read, strict=True):
            assert isinstance(first, MultimodalBatch)
            assert all(map(torch.equal, first.x, second.x))
            assert all(map(torch.equal, first[1:], second[1:]))
            assert {x.dtype for x in first.x} == {torch.float32}
            assert first.present.all()


def test_the_private_part_is_that_of_the_middle_of_each_window(files):
    data = ready()
    for m, (rat, start) in enumerate((("stella", 250), ("superchris", 225))):
        recording, part = SMALL.record(rat), data.private_part(m)
        table = data.sample_table("test", m)
        assert set(part) == set(recording.private) == {"phase", "gain", "state"}
        for name, truth in recording.private.items():
            middle = start + table["window"] + 5
            expected = truth[:, table["trial"], middle].T
            assert np.array_equal(part[name][table["row"]], expected)
    # real recordings do not say
    assert ready(path=str(files)).private_part(0) == {}


def test_a_batch_holds_the_windows_that_the_recording_holds():
    data = ready()
    starts = (250, 225)
    for split in ("train", "val", "test"):
        batch = next(iter(data.eval_dataloader(split)))
        for m, rat in enumerate(("stella", "superchris")):
            recording = SMALL.record(rat)
            table = data.sample_table(split, m)
            place = {row: i for i, row in enumerate(table["row"].tolist())}
            for b in range(0, len(batch.label), 37):
                i = place[int(batch.rows[b, m])]
                trial, window = table["trial"][i], table["window"][i]
                begin = starts[m] + window
                expected = recording.spikes[trial, :, begin : begin + 10].ravel()
                assert np.array_equal(batch.x[m][b].numpy(), expected)
                assert table["label"][i] == batch.label[b] == recording.trials[trial, 3] - 1
                assert recording.trials[trial, 0] == 1


def test_no_trial_is_in_two_splits_and_each_split_has_every_odour():
    data = ready()
    for m, rat in enumerate(("stella", "superchris")):
        tables = [data.sample_table(split, m) for split in ("train", "val", "test")]
        trials = [set(table["trial"].tolist()) for table in tables]
        assert not (trials[0] & trials[1] | trials[0] & trials[2] | trials[1] & trials[2])
        kept = SMALL.record(rat).trials
        kept = np.flatnonzero((kept[:, 0] == 1) & (kept[:, 3] <= 4))
        assert set.union(*trials) == set(kept.tolist())
        rows = np.sort(np.concatenate([table["row"] for table in tables]))
        assert np.array_equal(rows, np.arange(16 * len(kept)))
        assert all(set(table["label"]) == {0, 1, 2, 3} for table in tables)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_events_join_one_odour_and_one_sub_window_and_miss_no_sample(split):
    data = ready(rats=list(RATS))
    rows = events(data.eval_dataloader(split))
    label = torch.cat([batch.label for batch in data.eval_dataloader(split)]).numpy()
    index = torch.cat([batch.index for batch in data.eval_dataloader(split)])
    assert index.tolist() == list(range(len(rows)))
    assert (rows % 16 == rows[:, :1] % 16).all()
    for m in range(5):
        table = data.sample_table(split, m)
        label_of = dict(zip(table["row"].tolist(), table["label"].tolist(), strict=True))
        assert [label_of[row] for row in rows[:, m].tolist()] == label.tolist()
        assert set(rows[:, m].tolist()) == set(table["row"].tolist())


def epochs(data: HippocampusDataModule, which: list[int]) -> list[np.ndarray]:
    loader = data.train_dataloader()
    found = []
    for epoch in which:
        loader.sampler.set_epoch(epoch)
        found.append(events(loader))
    return found


def pairs(rows: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, rows.tolist()))


def test_training_trials_are_paired_anew_as_a_function_of_seed_and_epoch():
    data = ready()
    tested = events(data.test_dataloader())
    first, second, again = epochs(data, [0, 1, 0])
    assert np.array_equal(events(data.test_dataloader()), tested)
    assert np.array_equal(first, again)
    assert len(pairs(first) & pairs(second)) < 0.5 * len(pairs(first))
    assert np.array_equal(epochs(ready(), [1])[0], second)
    assert pairs(epochs(ready(seed=1), [0])[0]) != pairs(first)
    fixed = epochs(ready(repair_each_epoch=False), [0, 1])
    assert not np.array_equal(*fixed)
    whole = pairs(events(ready(repair_each_epoch=False).eval_dataloader("train")))
    assert all(pairs(rows) <= whole for rows in fixed)


def test_the_rats_at_hand_change_nobody_elses_split():
    alone, together = ready(rats=["mitt"]), ready(rats=["barat", "mitt"])
    for split in ("train", "val", "test"):
        assert np.array_equal(
            alone.sample_table(split, 0)["trial"], together.sample_table(split, 1)["trial"]
        )


def test_the_papers_protocol_leaks_and_says_so(caplog):
    with caplog.at_level(logging.WARNING, "mixvae"):
        data = ready(split="paper", correct_only=False)
    assert "trains, validates and tests on the same windows" in caplog.text
    splits = [events(data.eval_dataloader(split)) for split in ("train", "val", "test")]
    assert np.array_equal(splits[0], splits[1])
    assert np.array_equal(splits[0], splits[2])
    odours = [SMALL.record(rat).trials[:, 3] for rat in ("stella", "superchris")]
    numbers = [min(np.count_nonzero(o == k) for o in odours) for k in (1, 2, 3, 4)]
    assert len(splits[0]) == 16 * sum(numbers)
    # the first trials of an odour meet
    assert (splits[0][:16, 0] // 16 == splits[0][0, 0] // 16).all()
    assert pairs(epochs(data, [0])[0]) <= pairs(splits[0])
    assert pairs(epochs(data, [1])[0]) <= pairs(splits[0])


def test_hidden_samples_are_a_share_of_training_and_of_nothing_else():
    data = ready(rats=list(RATS), missing_fraction=0.4)
    hidden = epochs(data, [0, 1])
    for rows in hidden:
        assert (rows == -1).mean() == pytest.approx(0.4, abs=0.05)
        assert (rows != -1).any(axis=1).all()
    assert not np.array_equal(*hidden)
    batch = next(iter(data.train_dataloader()))
    for m, x in enumerate(batch.x):
        assert (x[~batch.present[:, m]] == 0).all()
    assert all(batch.present.all() for batch in data.test_dataloader())


def test_windows_odours_and_standardisation_are_settings():
    data = ready(
        odours=["D", "A"],
        window_starts={"Stella": 200, "superchris": 0},
        window_length=20,
        num_subwindows=3,
        subwindow_length=4,
        in_sequence_only=True,
        standardise=True,
        batch_size=8,
    )
    assert data.spec.class_names == ("D", "A")
    assert [m.shape for m in data.spec.modalities] == [(49 * 4,), (46 * 4,)]
    table = data.sample_table("train", 0)
    assert set(table["window"]) == {0, 1, 2}
    trials = SMALL.record("stella").trials[table["trial"]]
    assert (trials[:, 1] == 1).all()
    assert np.array_equal(trials[:, 3] == 1, table["label"] == 1)
    samples = torch.cat([b.x[0] for b in data.eval_dataloader("train")]).numpy()
    rows = events(data.eval_dataloader("train"))[:, 0]
    _, first = np.unique(rows, return_index=True)
    samples = samples[first]
    np.testing.assert_allclose(samples.mean(axis=0), 0, atol=1e-5)
    assert np.isclose(samples.std(axis=0), 1, atol=1e-4).mean() > 0.8  # some never fire


def test_a_run_s_state_scales_another_split_and_refuses_rats_in_another_order():
    trained, other = ready(standardise=True, seed=0), make(standardise=True, seed=5)
    other.load_state_dict(trained.state_dict())
    other.setup()
    alone = ready(standardise=True, seed=5)
    for m in range(len(trained.rats)):
        stores = [data._splits["test"].tensors.stores.arrays[m] for data in (trained, other, alone)]
        assert torch.equal(stores[0], stores[1])  # the same windows, by the same trials' moments
        assert not torch.equal(stores[0], stores[2])
    swapped = make(rats=tuple(reversed(trained.rats)))
    with pytest.raises(ValueError, match="in this order; the data have superchris"):
        swapped.load_state_dict(trained.state_dict())


def test_spec_is_known_before_set_up_and_reads_headers_only(files):
    for path in (None, str(files)):
        spec = make(path=path, rats=list(RATS)).spec
        assert spec.name == "hippocampus"
        assert [m.name for m in spec.modalities] == list(RATS)
        assert [m.shape for m in spec.modalities] == [(920,), (790,), (1040,), (490,), (460,)]
        assert (spec.num_classes, spec.class_names) == (4, ("A", "B", "C", "D"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_starts": {"stella": 256, "superchris": 0}}, "lies outside its recording of 280"),
        ({"simulator": RatSimulator(num_trials=8, num_bins=280)}, "trials of the odour"),
    ],
)
def test_settings_that_fit_no_recording_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).setup()


def not_finite(spikes: np.ndarray) -> np.ndarray:
    floats = spikes.astype(np.float64)
    floats[:, 4, 255] = np.nan
    return floats


@pytest.mark.parametrize(
    ("ending", "edit", "message"),
    [
        ("spike_data_binned", lambda spikes: spikes[0], r"shape \(49, 280\); they must be"),
        ("spike_data_binned", lambda spikes: spikes[:50], "spikes of 50 trials but a table of 60"),
        ("spike_data_binned", not_finite, "hold nan in trial"),
        ("trial_info", lambda table: table[:, :3], r"shape \(60, 3\); it must be \(trials, 4"),
        ("trial_info", lambda table: np.where(table == 2, 1, table), "has 0 trials of the odour B"),
    ],
)
def test_files_that_hold_something_else_are_refused(changed, ending, edit, message):
    data = make(path=str(changed(ending, edit)))
    with pytest.raises(ValueError, match=message) as caught:
        start(data)
    assert "stella" in str(caught.value)


def test_files_of_a_rat_that_nobody_knows_are_used(changed):
    folder = changed("none", lambda array: array)
    for path in (folder / "Stella").iterdir():
        path.rename(path.with_name(path.name.replace("stella", "felix")))
    (folder / "Stella").rename(folder / "FELIX")
    data = ready(path=str(folder), rats=["Felix"], window_starts={"felix": 250})
    assert data.spec.modalities[0].name == "felix"
    assert len(read_rat(folder, "felix").spikes) == 60


def test_a_stopped_epoch_goes_on_with_the_events_of_an_uninterrupted_one():
    def loader() -> TrainLoader:
        made = ready(missing_fraction=0.2).train_dataloader()
        made.sampler.set_epoch(1)
        return made

    whole, stopped, resumed = events(loader()), loader(), loader()
    iterator = iter(stopped)
    seen = [next(iterator) for _ in range(4)]
    resumed.load_state_dict(stopped.state_dict())
    assert np.array_equal(np.concatenate([events(seen), events(resumed)]), whole)
