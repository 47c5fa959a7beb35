"""Arrays from files of three kinds, and what is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixvae.data.files.arrays import read_array
from mixvae.data.files.labels import read_labels

NUMBERS = np.array([[1.5, 2.0], [np.nan, np.nan], [-3.0, 1e3]], dtype=np.float32)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", NUMBERS)
    np.savez("one.npz", first=NUMBERS)
    np.savez("two.npz", first=NUMBERS, second=NUMBERS + 1)
    Path("plain.csv").write_text("1.5,2\n,\n-3,1e3\n")
    Path("named.csv").write_text("x,y\n1.5, 2\nnan,NaN\n\n-3,1e3\n")


@pytest.mark.parametrize(
    "name", ["a.npy", "one.npz", "one.npz:first", "two.npz:first", "plain.csv", "named.csv"]
)
def test_one_array_in_many_files(name):
    array = read_array(name)
    np.testing.assert_array_equal(array, NUMBERS)
    assert array.dtype == np.float32


def test_the_numbers_that_pandas_calls_columns_by_are_no_sample(caplog):
    pd.DataFrame(NUMBERS).to_csv("pandas.csv", index=False)
    np.testing.assert_array_equal(read_array("pandas.csv"), NUMBERS)
    assert "pandas.csv begins with the line 0, 1, ..., 1: taken for the names" in caplog.text
    pd.DataFrame([3, 0, 1]).to_csv("labels.csv", index=False)
    assert read_labels("labels.csv", 3).tolist() == [3, 0, 1]


@pytest.mark.parametrize("columns", [["x", "y"], [0, 1]])
@pytest.mark.parametrize("index", [[0, 1, 2], ["p", "q", "r"]])
def test_the_index_that_pandas_writes_is_no_feature(columns, index, caplog):
    pd.DataFrame(NUMBERS, index, columns).to_csv("pandas.csv")
    np.testing.assert_array_equal(read_array("pandas.csv"), NUMBERS)
    assert "pandas.csv has a first column without a name: left out" in caplog.text


def test_a_first_value_that_is_missing_is_no_index():
    Path("gap.csv").write_text(",2\n3,1\n")
    np.testing.assert_array_equal(read_array("gap.csv"), [[np.nan, 2], [3, 1]])


@pytest.mark.parametrize("sign", [" ", "|"])
@pytest.mark.parametrize("header", [[], ["x", "y"]])
def test_values_that_do_not_lie_between_commas_are_named(sign, header):
    lines = [*([sign.join(header)] if header else []), f"1{sign}2", f"3{sign}4"]
    Path("other.csv").write_text("\n".join(lines))
    with pytest.raises(
        ValueError, match=r"other.csv, line 2: '.*' is not a number; numbers must lie"
    ):
        read_array("other.csv")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.doc", r"a.doc is not a .npy, .npz, .pt, .* or .txt file"),
        ("two.npz", r"it holds first, second: name one, two.npz:first"),
        ("two.npz:third", r"it holds no 'third' but first, second"),
        ("words.csv", r"words.csv, line 3: 'b' is not a number; numbers must lie between"),
        ("ragged.csv", r"ragged.csv, line 2: 1 values, but 2 in the lines before"),
        ("empty.csv", r"empty.csv holds no line of numbers"),
        ("objects.npy", r"arrays of objects are not read"),
        ("cut.npy", r"cut.npy cannot be used"),
        ("texts.npy", r"texts.npy holds <U1, not numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(name, message):
    Path("words.csv").write_text("x,y\n1,2\n3,b\n")
    Path("ragged.csv").write_text("1,2\n3\n")
    Path("empty.csv").write_text("x,y\n")
    np.save("objects.npy", np.array([None, 1], dtype=object), allow_pickle=True)
    np.save("texts.npy", np.array(["a", "b"]))
    Path("cut.npy").write_bytes(Path("a.npy").read_bytes()[:40])
    with pytest.raises(ValueError, match=message):
        read_array(name)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"there is no file none.npy"):
        read_array("none.npy")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2\n0\n-1\n", [2, 0, -1]),
        ("label\n2\n0\n1\n", [2, 0, 1]),
        ("x\ny\nz\n", ["x", "y", "z"]),
        ("label\nx\ny\nz\n", ["x", "y", "z"]),
    ],
)
def test_labels_in_a_csv(text, expected):
    Path("labels.csv").write_text(text)
    assert read_labels("labels.csv", 3).tolist() == expected


def test_labels_in_an_array():
    for array in (np.array([2, 0, 1]), np.array([[2], [0], [1]], dtype=np.uint8)):
        np.save("labels.npy", array)
        assert read_labels("labels.npy", 3).tolist() == [2, 0, 1]
    np.save("labels.npy", np.array(["b", "a", "b"]))
    assert read_labels("labels.npy", 3).tolist() == ["b", "a", "b"]


def test_an_npy_is_not_read_before_it_is_used():
    assert isinstance(read_array("a.npy"), np.memmap)


def test_an_npy_that_is_cut_short_is_told():
    Path("cut.npy").write_bytes(Path("a.npy").read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"cut.npy cannot be used: it is cut short"):
        read_array("cut.npy")
