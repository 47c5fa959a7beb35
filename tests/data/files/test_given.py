"""Objects that users give from Python: read as they mean, or refused by name."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from mixvae.data.files.given import as_array, as_labels
from mixvae.data.modalities.given_modalities import modalities_of

X = np.array([[1.5, 2.0, 3.0], [4.0, np.nan, 6.0]])
WHOLE = np.nan_to_num(X)
FRAME = pd.DataFrame(X)


@pytest.mark.parametrize(
    "value",
    [
        [[1.5, 2, 3], [4, None, 6]],
        X.astype(object),
        np.array([[1.5, 2, 3], [4, pd.NA, 6]], dtype=object),
        FRAME.astype("Float64"),
        FRAME.astype(object),
        np.ma.masked_array(WHOLE, np.isnan(X)),
        pd.DataFrame({"p": [1.5, 4.0], "q": pd.array([2, None], "Int64"), "r": [3, 6]}),
        torch.from_numpy(X).bfloat16(),
        torch.from_numpy(X).requires_grad_(),
    ],
)
def test_missing_values_of_any_kind_become_nan(value: object) -> None:
    np.testing.assert_array_equal(as_array(value, "x").astype(float), X)


@pytest.mark.parametrize(
    "value",
    [
        torch.from_numpy(WHOLE).to_sparse(),
        sparse.csr_array(WHOLE),
        np.array([[1.5, 2, 3], [4, 0, 6]], dtype=object),
        pd.DataFrame({"p": [1.5, 4.0], "q": [2, 0], "r": [3.0, 6.0]}),
    ],
)
def test_any_layout_becomes_an_array(value: object) -> None:
    np.testing.assert_array_equal(as_array(value, "x").astype(float), WHOLE)


@pytest.mark.parametrize(
    "value",
    [
        ["a", None, "c"],
        np.array([b"a", b"", b"c"]),
        pd.array(["a", None, "c"], dtype="string"),
        pd.Series(["a", None, "c"]),
    ],
)
def test_missing_texts_are_empty(value: object) -> None:
    assert as_array(value, "x").tolist() == ["a", "", "c"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a.npy", "x are 'a.npy'; give an array, or name files"),
        (None, "x are None"),
        (3.0, "the single value 3.0"),
        (X.astype(complex), "x hold complex128"),
        (FRAME.assign(kind="s"), "x hold texts in the column 'kind' beside numbers"),
        (FRAME.assign(day=pd.Timestamp("2026-01-01")), "x in the column 'day' hold datetime64"),
        ([[1.0], [1.0, 2.0]], "x are not of one shape"),
        ([object()] * 3, r"x hold Python objects \(object\)"),
    ],
)
def test_what_is_no_array_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_array(value, "x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pd.array([1, None, 2], dtype="Int64"), [1, -1, 2]),
        (pd.array(["p", None, "q"], dtype="string"), ["p", "", "q"]),
        (pd.Series(pd.Categorical(["p", None, "q"])), ["p", "", "q"]),
        (np.array([b"p", b"q", b"p"]), ["p", "q", "p"]),
        (torch.tensor([1, 0, 2]), [1, 0, 2]),
        (np.array([1, 0, 2], dtype=np.uint8), [1, 0, 2]),
    ],
)
def test_labels_of_any_type(value: object, expected: list) -> None:
    assert as_labels(value, 3, "labels").tolist() == expected
    _, labels = modalities_of({"a": np.zeros((3, 2)), "b": np.zeros((3, 2))}, value)
    assert labels is not None
    assert labels.tolist() == expected


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, torch.tensor])
def test_tags_are_given_too(kind) -> None:
    tags = np.array([[0, 1], [1, 1], [0, 0]])
    _, found = modalities_of({"a": np.zeros((3, 2)), "b": np.zeros((3, 2))}, kind(tags))
    np.testing.assert_array_equal(found, tags)


def frame(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(np.zeros((len(names), 2)), index=names)


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        ({"a": frame(["s", "t"]), "b": frame(["t", "s"])}, None, "frames a and b have different"),
        ({"a": frame(["s", "t"])}, pd.Series([0, 1], ["t", "s"]), "frames a and labels have"),
        ({"a": pd.DataFrame(X), "b": pd.DataFrame(X)[::-1]}, None, "frames a and b"),
        ({"a b": X}, None, "has the name 'a b'"),
        ({"RNA (counts)": X}, None, r"has the name 'RNA \(counts\)'.*letters from a to z"),
        ({"\xe9": X}, None, "has the name"),
        ({"": X}, None, "has the name ''"),
        ({"null": X}, None, "has the name 'null'"),
    ],
)
def test_modalities_that_cannot_be_told_apart_or_aligned(data, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        modalities_of(data, labels)


def test_a_counted_index_says_nothing_beside_names() -> None:
    data = {"a": frame(["s", "t"]), "b": pd.DataFrame(X)}
    assert modalities_of(data, pd.Series([0, 1]))[1] is not None


def test_cells_with_other_names_are_refused() -> None:
    anndata = pytest.importorskip("anndata")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables = {
            "rna": anndata.AnnData(X, obs=pd.DataFrame(index=["c0", "c1"])),
            "atac": anndata.AnnData(X, obs=pd.DataFrame(index=["c0-1", "c1-1"])),
        }
    with pytest.raises(ValueError, match=r"no cell in common \(rna: 'c0', ..., atac: 'c0-1'"):
        modalities_of(tables, None)
