"""Any aligned arrays: what is missing, how they are split, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mixvae.contracts import MultimodalBatch
from mixvae.data import MultimodalDataModule
from tests.data.conftest import collect

NUM = 120


@pytest.fixture(autouse=True)
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Three modalities, of which one misses every fifth event and another the one behind it."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    a = generator.normal(2, 3, (NUM, 4)).astype(np.float64)
    b = generator.normal(-1, 0.5, (NUM, 1, 3, 3)).astype(np.float32)
    c = generator.integers(0, 9, (NUM, 2))
    a[::5] = np.nan
    b[1::5] = np.nan
    y = np.arange(NUM) % 3
    np.save("a.npy", a)
    np.savez("b.npz", pictures=b)
    np.savetxt("c.csv", c, delimiter=",", header="x,y", comments="", fmt="%d")
    np.save("y.npy", y)
    return {"a": a, "b": b, "c": c, "y": y}


def make(**options: object) -> MultimodalDataModule:
    files = {"a": "a.npy", "b": "b.npz:pictures", "c": "c.csv"}
    settings = {"seed": 0, "modalities": files, "labels": "y.npy", "batch_size": 16} | options
    return MultimodalDataModule(**settings)


def ready(**options: object) -> MultimodalDataModule:
    data = make(**options)
    data.setup()
    return data


def whole(data: MultimodalDataModule, split: str) -> MultimodalBatch:
    return collect(data.eval_dataloader(split))


def test_a_batch_of_few_events_is_half_of_them(caplog):
    caplog.set_level("INFO", "mixvae")
    data = ready(batch_size=250)
    num_train = len(data._splits["train"].rows)
    assert data.batch_size == num_train // 2
    assert f"instead of 250, as there are {num_train} training events" in caplog.text


def test_batches_hold_what_the_files_hold(arrays):
    data = ready()
    seen = []
    for split in ("train", "val", "test"):
        batch = whole(data, split)
        assert [x.dtype for x in batch.x] == [torch.float32] * 3
        assert batch.index.tolist() == list(range(len(batch.label)))
        row = batch.rows.max(dim=1).values.numpy()
        seen += row.tolist()
        assert torch.equal(batch.rows >= 0, batch.present)
        assert np.array_equal(batch.present[:, 0], row % 5 != 0)
        assert np.array_equal(batch.present[:, 1], row % 5 != 1)
        assert batch.present[:, 2].all()
        assert np.array_equal(batch.label, arrays["y"][row])
        for x, name in zip(batch.x, "abc", strict=True):
            expected = np.nan_to_num(arrays[name][row]).astype(np.float32)
            assert np.array_equal(x.numpy(), expected)
    assert sorted(seen) == list(range(NUM))


def test_each_class_has_its_share_of_each_split():
    data = ready(val_fraction=0.1, test_fraction=0.25)
    numbers = [torch.bincount(whole(data, s).label).tolist() for s in ("train", "val", "test")]
    assert numbers == [[26] * 3, [4] * 3, [10] * 3]
    other = ready(seed=1, val_fraction=0.1, test_fraction=0.25)
    assert not torch.equal(whole(other, "test").rows, whole(data, "test").rows)


def test_a_sample_table_leaves_out_what_is_missing_or_hidden(arrays):
    data = ready(missing_fraction=0.3)
    for split in ("train", "val", "test"):
        batch = whole(data, split)
        for m in range(3):
            table = data.sample_table(split, m)
            assert table["row"].tolist() == batch.rows[:, m][batch.present[:, m]].tolist()
            assert np.array_equal(table["label"], arrays["y"][table["row"]])
    shares = [1 - whole(data, s).present[:, 2].float().mean() for s in ("train", "val", "test")]
    assert shares[0] == pytest.approx(0.25, abs=0.12)
    assert shares[1:] == [0, 0]
    assert whole(data, "train").present.any(dim=1).all()


def test_standardisation_is_by_the_training_rows_that_are_there():
    data = ready(standardise=True)
    for m in range(3):
        batch = whole(data, "train")
        there = batch.x[m][batch.present[:, m]].flatten(1).double()
        torch.testing.assert_close(there.mean(dim=0), torch.zeros_like(there[0]), atol=1e-5, rtol=0)
        deviation = there.std(dim=0, correction=0)
        torch.testing.assert_close(deviation, torch.ones_like(there[0]), atol=1e-4, rtol=0)
        assert (batch.x[m][~batch.present[:, m]] == 0).all()


def test_labels_are_numbered_and_named(arrays):
    names = np.array(["cat", "ape", "dog"])
    np.save("words.npy", names[arrays["y"]])
    data = ready(labels="words.npy")
    assert data.spec.class_names == ("ape", "cat", "dog")
    batch = whole(data, "test")
    assert np.array_equal(
        np.array(data.spec.class_names)[batch.label], names[arrays["y"][batch.rows[:, 2]]]
    )
    ordered = ready(labels="words.npy", class_names=["dog", "cat", "ape", "none such"])
    assert (ordered.spec.num_classes, ordered.spec.class_names[0]) == (4, "dog")
    np.save("numbers.npy", arrays["y"] * 10 - 10)
    some = ready(labels="numbers.npy")  # -10 is no class
    assert some.spec.class_names == ("0", "10")
    assert torch.bincount(whole(some, "train").label + 1).tolist() == [28, 28, 28]
    named = ready(class_names=["x", "y", "z"])
    assert named.spec.class_names == ("x", "y", "z")


def test_no_labels_are_no_classes():
    data = ready(labels=None)
    assert (data.spec.num_classes, data.spec.class_names) == (0, ())
    assert [len(whole(data, s).label) for s in ("train", "val", "test")] == [84, 12, 24]
    assert (whole(data, "test").label == -1).all()


def test_some_modalities_are_standardised_and_others_left():
    plain, whole_data, some = (ready(standardise=value) for value in (False, True, ["a", "c"]))
    for m, expected in enumerate((whole_data, plain, whole_data)):
        got, wanted = (whole(data, "train").x[m] for data in (some, expected))
        torch.testing.assert_close(got, wanted)
    assert set(some.state_dict()["scales"]) == {"a", "c"}


def test_a_modality_missing_in_all_of_training_is_refused(arrays):
    rare = np.full((NUM, 2), np.nan)
    test = whole(ready(), "test").rows[0].max()
    rare[test] = 1.0
    np.save("rare.npy", rare)
    with pytest.raises(ValueError, match=r"'d' is missing in every training row \(seed 0\)"):
        ready(modalities={"c": "c.csv", "d": "rare.npy"})


@pytest.mark.parametrize(
    ("value", "where", "message"),
    [
        (np.inf, (7, 1), r"a holds inf in row 7"),
        (np.inf, 7, r"a holds inf in row 7"),
        (np.nan, slice(None), r"the modality 'a' is missing in every row; leave it out"),
        (np.nan, [6, 11], r"row 6, .* missing in every modality, as are 1 others"),
    ],
)
def test_numbers_that_are_none_are_refused(arrays, value, where, message):
    changed = arrays["a"].copy()
    changed[where] = value
    np.save("a.npy", changed)
    with pytest.raises(ValueError, match=message):
        ready(modalities={"a": "a.npy", "b": "b.npz"})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((NUM - 1, 2), r"differ in their numbers of rows: a 120, d 119\. Row i"),
        ((NUM,), r"d.npy of the modality 'd' has the shape"),
        ((0, 3), r"d.npy of the modality 'd' has the shape"),
        ((NUM, 0), r"d.npy of the modality 'd' has the shape"),
    ],
)
def test_an_array_of_another_shape_is_refused(shape, message):
    np.save("d.npy", np.ones(shape))
    with pytest.raises(ValueError, match=message):
        ready(modalities={"a": "a.npy", "d": "d.npy"})


def test_spec_is_known_before_set_up_and_names_are_texts():
    spec = make(modalities={"a": "a.npy", "b": "b.npz:pictures", 1: "c.csv"}).spec
    assert (spec.name, spec.num_classes, spec.class_names) == ("multimodal", 3, ("0", "1", "2"))
    shapes = {modality.name: modality.shape for modality in spec.modalities}
    assert shapes == {"a": (4,), "b": (1, 3, 3), "1": (2,)}


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (np.arange(NUM - 1) % 3, None, "holds 119 labels for 120 samples"),
        (
            np.arange(NUM) % 4,
            ["x", "y"],
            r"label '2', .* \(numbers from 0 to 1\)",
        ),
        (np.array(["x", "w"])[np.arange(NUM) % 2], ["x", "y"], "holds the label 'w'"),
        (np.full(NUM, 0.5), None, "holds 0.5; labels are whole numbers or texts"),
        (np.full((NUM, 2), 2), None, "has 2 columns; several labels for each sample are a table"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, names, message):
    np.save("y.npy", labels)
    with pytest.raises(ValueError, match=message):
        ready(class_names=names)


def test_a_run_s_state_scales_other_data_and_numbers_their_classes(arrays):
    np.save("y.npy", np.array(["lamp", "chair", "bed"])[arrays["y"]])
    trained = ready(standardise=True)
    state = trained.state_dict()
    # Other events of the same things, in which one class does not occur.
    some = np.flatnonzero(arrays["y"] != 2)
    np.save("a.npy", arrays["a"][some])
    np.savez("b.npz", pictures=arrays["b"][some])
    np.savetxt("c.csv", arrays["c"][some], delimiter=",", fmt="%d")
    np.save("y.npy", np.array(["lamp", "chair"])[arrays["y"][some]])
    alone, told = make(standardise=True, batch_size=4), make(standardise=True, batch_size=4)
    alone.setup()
    told.load_state_dict(state)
    told.setup()
    told.load_state_dict(state)  # as Lightning does once more
    assert alone.spec.class_names == ("chair", "lamp")
    assert told.spec.class_names == trained.spec.class_names == ("bed", "chair", "lamp")
    of_run = {}
    for split in ("train", "val", "test"):
        batch = whole(trained, split)
        for row, sample in zip(trained.event_rows(split), batch.x[0], strict=True):
            of_run[int(row)] = sample
    for split in ("train", "val", "test"):
        batch, rows = whole(told, split), some[told.event_rows(split)]
        for row, sample in zip(rows, batch.x[0], strict=True):
            assert torch.equal(sample, of_run[int(row)])
        assert batch.label.tolist() == [2 - arrays["y"][row] for row in rows]
        assert not torch.equal(whole(alone, split).x[0], batch.x[0])
    with pytest.raises(ValueError, match="has another mean or deviation"):
        alone.load_state_dict(state)


def test_a_state_of_numbers_as_labels_keeps_their_names(arrays):
    np.save("y.npy", np.array([7, 3, 5])[arrays["y"]])
    state = ready().state_dict()
    np.save("y.npy", np.array([7, 5])[arrays["y"] % 2])
    told = make()
    told.load_state_dict(state)
    told.setup()
    assert told.spec.class_names == ("3", "5", "7")
    batch = whole(told, "test")
    expected = np.array([2, 1])[arrays["y"][told.event_rows("test")] % 2]
    np.testing.assert_array_equal(batch.label, expected)


def test_other_modalities_than_a_run_s_are_refused():
    state = ready().state_dict()
    swapped = make(modalities={"b": "b.npz:pictures", "a": "a.npy", "c": "c.csv"})
    with pytest.raises(ValueError, match=r"modalities a, b, c, in this order; the data have b, a"):
        swapped.load_state_dict(state)
    with pytest.raises(ValueError, match=r"a is standardised now.*on it as it was"):
        ready(standardise=True).load_state_dict(state)


@pytest.mark.parametrize("unknown", [1, 2, 7])
def test_events_without_a_label_need_not_be_shared_out(arrays, unknown):
    labels = arrays["y"].copy()
    labels[:unknown] = -1
    np.save("y.npy", labels)
    data = ready()
    found = np.concatenate([data.event_rows(split) for split in ("train", "val", "test")])
    assert sorted(found.tolist()) == list(range(NUM))
    if unknown < 3:
        assert set(range(unknown)) <= set(data.event_rows("train").tolist())
