"""Files, kinds and labels that users have: read, aligned, recognised, or refused by name."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from mixvae.contracts import MultimodalBatch
from mixvae.data import MultimodalDataModule
from mixvae.data.files.arrays import read_array, read_rows
from mixvae.data.files.labels import read_labels
from mixvae.data.modalities.base import MultimodalState
from mixvae.data.modalities.vocabulary import Vocabulary

NUM = 60
COUNTS = {"kinds": {"b": "counts"}}
RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=(NUM, 3)).astype(np.float32)
B = RANDOM.normal(size=(NUM, 4)).astype(np.float32)
TEXTS = np.array([f"a {('red', 'blue')[i % 2]} bird, no. {i % 5}" for i in range(NUM)])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: object) -> None:
    monkeypatch.chdir(tmp_path)
    logging.getLogger("mixvae").setLevel(logging.INFO)
    np.save("a.npy", A)
    np.save("b.npy", B)


def table(name: str, values: np.ndarray, ids: list[object] | None, header: list[str] | None) -> str:
    sign = "\t" if name.endswith(".tsv") else ","
    lines = [] if header is None else [sign.join(header)]
    for i, row in enumerate(values):
        cells = ["NA" if value != value else str(value) for value in row]
        lines.append(sign.join([*([] if ids is None else [str(ids[i])]), *cells]))
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def unread(modalities: dict[str, str], **options: object) -> MultimodalDataModule:
    return MultimodalDataModule(seed=0, modalities=modalities, batch_size=8, **options)


def ready(modalities: dict[str, str], **options: object) -> MultimodalDataModule:
    data = unread(modalities, **options)
    data.setup()
    return data


def beside_a(array: np.ndarray, **options: object) -> MultimodalDataModule:
    """An array as the modality b."""
    np.save("b.npy", array)
    return ready({"a": "a.npy", "b": "b.npy"}, **options)


def labelled(labels: np.ndarray) -> MultimodalDataModule:
    np.save("y.npy", labels)
    return ready({"a": "a.npy", "b": "b.npy"}, labels="y.npy")


def rows_of(data: MultimodalDataModule, modality: int) -> np.ndarray:
    """Samples of a modality in the order of the files, NaN rows where missing."""
    shape = data.spec.modalities[modality].shape
    found = np.full((len(data.tags), *shape), np.nan, dtype=np.float32)
    for split in ("train", "val", "test"):
        for batch in data.eval_dataloader(split):
            assert isinstance(batch, MultimodalBatch)
            rows = data.event_rows(split)[batch.index.numpy()]
            there = batch.present[:, modality].numpy()
            found[rows[there]] = batch.x[modality][batch.present[:, modality]].numpy()
    return found


def test_every_kind_of_file_holds_the_same_array() -> None:
    import anndata
    import h5py
    import pandas as pd
    import zarr

    torch.save(torch.from_numpy(B), "b.pt")
    torch.save({"x": torch.from_numpy(B), "other": torch.zeros(2)}, "two.pt")
    sparse.save_npz("b_sparse.npz", sparse.csr_matrix(B))
    names = [f"cell{i}" for i in range(NUM)]
    cells = anndata.AnnData(sparse.csr_matrix(B), obs=pd.DataFrame(index=names))
    cells.obsm["protein"], cells.layers["raw"] = B, B
    cells.write_h5ad("cells.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the version of the format
        cells.write_zarr("cells.zarr")
    with h5py.File("both.h5mu", "w") as file, h5py.File("cells.h5ad") as source:
        source.copy("/", file.create_group("mod"), name="rna")
    zarr.save("plain.zarr", B)
    files = ["b.pt", "two.pt:x", "b_sparse.npz", table("b.tsv", B, None, None)]
    files += ["cells.h5ad", "cells.h5ad:obsm/protein", "cells.h5ad:layers/raw", "cells.zarr"]
    files += ["both.h5mu:rna", "plain.zarr"]
    for file in files:
        np.testing.assert_array_equal(read_array(file), B, err_msg=file)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two.pt", "it holds x, other: name one, two.pt:x"),
        ("two.pt:z", "it holds no 'z' but x, other"),
        ("code.pt", "code.pt cannot be used"),
        ("cells.h5ad:obsm/rna", r"holds no 'obsm/rna'; it has X, obsm/protein"),
        ("both.h5mu", r"holds the modalities rna: name one, both.h5mu:rna"),
        ("cut.h5ad", "cut.h5ad cannot be used"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(name: str, message: str) -> None:
    import anndata
    import h5py

    torch.save({"x": torch.zeros(2), "other": torch.zeros(2)}, "two.pt")
    torch.save(Path("a"), "code.pt")
    cells = anndata.AnnData(B)
    cells.obsm["protein"] = B
    cells.write_h5ad("cells.h5ad")
    with h5py.File("both.h5mu", "w") as file:
        file.create_group("mod/rna")
    Path("cut.h5ad").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=message):
        read_array(name)


def test_na_is_a_missing_value_and_a_row_of_it_a_missing_modality() -> None:
    values = B.copy()
    values[::9] = np.nan
    values[1, 2] = np.nan
    data = ready({"a": "a.npy", "b": table("b.csv", values, None, ["w", "x", "y", "z"])})
    assert [item.has_gaps for item in data.spec.modalities] == [False, True]
    np.testing.assert_array_equal(rows_of(data, 1), values)


@pytest.mark.parametrize("ids", [[f"s{i}" for i in range(NUM)], list(range(NUM)), None])
def test_an_id_column_is_no_feature(ids: list[object] | None, caplog: pytest.LogCaptureFixture):
    if ids is None:  # distinct numbers in any order, called an id
        ids = RANDOM.permutation(1000)[:NUM].tolist()
    values = read_array(table("b.csv", B, ids, ["sample", "w", "x", "y", "z"]))
    np.testing.assert_array_equal(values, B)
    assert "first column ('sample') holds" in caplog.text


def test_rows_are_aligned_by_their_ids(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"s{i}" for i in range(NUM)]
    order = RANDOM.permutation(NUM)[:50]
    a = table("a.csv", A, names, ["id", "x", "y", "z"])
    b = table("b.csv", B[order], [names[i] for i in order], ["id", "w", "x", "y", "z"])
    Path("y.csv").write_text("id,type\n" + "\n".join(f"s{i},t{i % 2}" for i in order) + "\n")
    data = ready({"a": a, "b": b}, labels="y.csv")
    assert "aligned by the ids of rows: 60 events, of which 50 are in every file" in caplog.text
    np.testing.assert_array_equal(rows_of(data, 0), A)
    found = rows_of(data, 1)
    np.testing.assert_array_equal(found[order], B[order])
    assert np.isnan(np.delete(found, order, axis=0)).all()
    assert data.spec.class_names == ("t0", "t1")
    for split in ("train", "val", "test"):
        rows = data.event_rows(split)
        labels = np.concatenate([batch.label for batch in data.eval_dataloader(split)])
        expected = np.where(np.isin(rows, order), rows % 2, -1)
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (["s1"] * NUM, {}, "has the id 's1' twice"),
        ([f"other{i}" for i in range(NUM)], {}, "none in common .*data.id_column"),
        (None, {"id_column": "barcode"}, "no column 'barcode', which data.id_column names"),
    ],
)
def test_ids_that_cannot_align_are_refused(ids: list, options: dict, message: str) -> None:
    a = table("a.csv", A, [f"s{i}" for i in range(NUM)], ["id", "x", "y", "z"])
    b = table("b.csv", B, ids or list(range(NUM)), ["id", "w", "x", "y", "z"])
    with pytest.raises(ValueError, match=message):
        ready({"a": a, "b": b}, **options)


def test_labels_without_ids_are_those_of_events_in_order(caplog) -> None:
    names = [f"s{i}" for i in range(NUM)]
    a = table("a.csv", A, names, ["id", "x", "y", "z"])
    b = table("b.csv", B[::-1], names[::-1], ["id", "w", "x", "y", "z"])
    np.save("y.npy", np.arange(NUM) % 2)
    data = ready({"a": a, "b": b}, labels="y.npy")
    assert "y.npy has no ids: its labels are those of the events in order, 's0', ..." in caplog.text
    batch = next(iter(data.eval_dataloader("test")))
    assert (batch.label.numpy() == data.event_rows("test")[batch.index.numpy()] % 2).all()


def test_a_transposed_table_is_recognised() -> None:
    with pytest.raises(ValueError, match="b has 60 columns: it may have to be transposed"):
        beside_a(B.T)


def test_images_with_channels_last_are_turned_and_bytes_scaled(caplog):
    pictures = RANDOM.integers(0, 256, (NUM, 8, 9, 3), dtype=np.uint8)
    data = beside_a(pictures)
    assert data.spec.modalities[1].shape == (3, 8, 9)
    assert data.spec.modalities[1].kind == "image"
    assert "taken for images with their channels last" in caplog.text
    assert "divided by 255" in caplog.text
    expected = pictures.transpose(0, 3, 1, 2).astype(np.float32) / 255
    np.testing.assert_allclose(rows_of(data, 1), expected, rtol=1e-6)
    state = MultimodalState.from_plain(data.state_dict())
    np.testing.assert_array_equal(
        state.form("b").encoded("b", pictures), pictures.transpose(0, 3, 1, 2)
    )
    assert state.form("b").file_shape((3, 8, 9)) == (8, 9, 3)


def test_an_image_with_channels_first_stays_as_it_is() -> None:
    assert beside_a(RANDOM.uniform(size=(NUM, 3, 8, 4))).spec.modalities[1].shape == (3, 8, 4)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_standardising_does_not_depend_on_the_unit(unit: float) -> None:
    values = (B.astype(np.float64) + 3) * unit
    values[:, 1] = 5 * unit  # constant
    data = beside_a(values, standardise=True)
    train = rows_of(data, 1)[data.event_rows("train")]
    np.testing.assert_allclose(train.std(axis=0), [1, 0, 1, 1], atol=1e-4)


def test_integer_tokens_become_one_hot_and_padding_zeros() -> None:
    tokens = RANDOM.integers(0, 7, (NUM, 5))
    tokens[0] = 6
    tokens[:, 1] = 1  # so that no row is padding alone, a missing modality
    tokens[:, 4] = -1
    tokens[::2, 3] = 0  # the padding by choice
    data = beside_a(tokens, kinds={"b": "tokens"}, padding=0)
    assert data.spec.modalities[1].shape == (5, 7)
    expected = np.eye(7)[np.maximum(tokens, 0)] * (tokens > 0)[..., None]
    np.testing.assert_array_equal(rows_of(data, 1)[1:], expected[1:])


def test_tokens_beyond_the_vocabulary_of_a_run_are_refused() -> None:
    tokens = RANDOM.integers(0, 7, (NUM, 5))
    state = beside_a(tokens, kinds={"b": "tokens"}).state_dict()
    tokens[3, 2] = 9
    np.save("b.npy", tokens)
    other = unread({"a": "a.npy", "b": "b.npy"}, kinds={"b": "tokens"})
    with pytest.raises(ValueError, match=r"b has the token 9 in row 3.* whole numbers below 7"):
        other.load_state_dict(state)


@pytest.mark.parametrize("kind", ["words", "letters"])
def test_texts_have_a_vocabulary_of_training_rows(kind: str) -> None:
    data = beside_a(TEXTS, kinds={"b": kind})
    form = MultimodalState.from_plain(data.state_dict()).form("b")
    assert form.vocabulary is not None
    tokens = form.encoded("b", np.array(["a red dragon", ""]))
    back = form.vocabulary.decode(tokens)
    assert back[0] == ("a red <unknown>" if kind == "words" else back[0])
    assert (tokens[1] == -1).all()
    whole = rows_of(data, 1)
    assert set(np.unique(whole)) == {0.0, 1.0}
    again = form.decoded(whole)
    assert again[0] == ("a red bird no 0" if kind == "words" else TEXTS[0])


@pytest.mark.parametrize("suffix", ["npy", "csv", "txt"])
def test_texts_are_read_from_arrays_columns_and_lines(suffix: str) -> None:
    texts = TEXTS.copy()
    texts[5] = ""
    if suffix == "npy":
        np.save("text.npy", texts)
    else:
        header = ["caption"] if suffix == "csv" else []
        lines = [f'"{text}"' if suffix == "csv" else text for text in texts]
        Path(f"text.{suffix}").write_text("\n".join([*header, *lines]) + "\n")
    data = ready({"a": "a.npy", "text": f"text.{suffix}"})
    missing = np.isnan(rows_of(data, 1)).all(axis=(1, 2))
    assert np.flatnonzero(missing).tolist() == [5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Don't 'stop' - \u201cwell-known\u201d, it\u2019s x_2!",
            "don't stop well known it\u2019s x 2",
        ),
        ("e\u0301tude", "\u00e9tude"),
        (
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941",
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941",
        ),
    ],
)
def test_words_of_all_scripts_are_whole(text: str, words: str) -> None:
    assert Vocabulary.fit([text]).tokens[2:] == tuple(sorted(words.split()))


def test_a_line_of_a_txt_file_ends_at_its_end_only() -> None:
    Path("text.txt").write_bytes("a\u2028red\x0cbird\r\nb\x85\n\n".encode())
    assert read_rows("text.txt").values.tolist() == ["a\u2028red\x0cbird", "b\x85", ""]


def test_a_text_without_words_is_refused() -> None:
    texts = TEXTS.copy()
    texts[7] = "!!!"
    with pytest.raises(ValueError, match=r"'!!!' of b in row 7.*data.kinds=\{b: letters\}"):
        beside_a(texts)


LABELS = {
    "float": (np.arange(NUM) % 3).astype(float),
    "bool": np.arange(NUM) % 2 > 0,
    "bytes": np.array([b"x", b"y"])[np.arange(NUM) % 2],
    "nan": np.where(np.arange(NUM) < 20, np.nan, np.arange(NUM) % 2),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_may_be_floats_truths_bytes_and_unknown(name: str) -> None:
    data = labelled(LABELS[name])
    assert data.spec.num_classes == {"float": 3}.get(name, 2)
    labels = np.concatenate(
        [batch.label for s in ("train", "val", "test") for batch in data.eval_dataloader(s)]
    )
    assert (labels < 0).sum() == (20 if name == "nan" else 0)


def test_a_class_of_two_events_trains(caplog: pytest.LogCaptureFixture) -> None:
    data = labelled(np.where(np.arange(NUM) < 2, 7, 1))
    assert "class '7' has 2 of 60 events: all of them train" in caplog.text
    assert {0, 1} <= set(data.event_rows("train").tolist())


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros(NUM, dtype=int), "holds one class only, '0'"),
        (np.full(NUM, np.nan), "holds no known label"),
        (np.tile([0, 1, np.nan], (NUM, 1)), "has no tag with both 0 and 1"),
    ],
)
def test_labels_without_two_classes_are_told(
    labels: np.ndarray, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    labelled(labels)
    assert f"y.npy {told}: probes and coherence need two classes" in caplog.text


def test_several_labels_for_an_event_are_tags() -> None:
    tags = RANDOM.integers(0, 2, (NUM, 3)).astype(float)
    tags[0, 0] = np.nan
    data = labelled(tags)
    assert (data.spec.num_classes, data.tags.shape[1]) == (0, 3)
    np.testing.assert_array_equal(data.tags, tags)
    assert read_labels("y.npy", NUM).shape == (NUM, 3)


def test_an_array_above_the_limit_stays_on_disk() -> None:
    values = B.copy()
    values[4, 1] = np.nan
    values[5] = np.nan
    np.save("b.npy", values)
    whole, mapped = (
        ready({"a": "a.npy", "b": "b.npy"}, standardise=["b"], map_above=limit)
        for limit in (4.0, 0.0)
    )
    store = mapped._splits["train"].tensors.stores.stores[1]  # type: ignore[attr-defined]
    assert store.is_mapped
    np.testing.assert_allclose(rows_of(mapped, 1), rows_of(whole, 1), rtol=1e-5, atol=1e-6)


def test_one_modality_is_not_several() -> None:
    with pytest.raises(ValueError, match="names 'a' alone; several modalities are two or more"):
        ready({"a": "a.npy"})


def test_images_of_unlike_sizes_are_refused() -> None:
    pictures = np.empty(NUM, dtype=object)
    for i in range(NUM):
        pictures[i] = np.zeros((3, 8 + i % 2, 8))
    with pytest.raises(ValueError, match="arrays of objects are not read"):
        beside_a(pictures)


def test_gaps_in_data_of_a_run_without_gaps_become_its_training_means() -> None:
    state = ready({"a": "a.npy", "b": "b.npy"}, standardise=["b"]).state_dict()
    a, b = A.copy(), B.copy()
    a[3, 1], b[4, 2] = np.nan, np.nan
    np.save("a.npy", a)
    np.save("b.npy", b)
    for limit in (4.0, 0.0):
        data = unread({"a": "a.npy", "b": "b.npy"}, standardise=["b"], map_above=limit)
        data.load_state_dict(state)
        data.setup()
        assert not any(item.has_gaps for item in data.spec.modalities)
        means = MultimodalState.from_plain(state).centres
        assert rows_of(data, 0)[3, 1] == means["a"][1]
        assert abs(rows_of(data, 1)[4, 2]) < 1e-5


def test_standardising_all_leaves_counts_and_texts() -> None:
    np.save("b.npy", RANDOM.poisson(3, (NUM, 4)))
    np.save("t.npy", TEXTS)
    files = {"a": "a.npy", "b": "b.npy", "t": "t.npy"}
    data = ready(files, standardise=True, **COUNTS)
    assert list(MultimodalState.from_plain(data.state_dict()).scales) == ["a"]


def images(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (NUM, *shape)).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((16, 16, 2), (2, 16, 16)),
        ((12, 10, 8), (8, 12, 10)),
        ((28, 28, 1), (1, 28, 28)),
        ((16, 8, 8), (16, 8, 8)),
        ((2, 12, 10), (2, 12, 10)),
    ],
)
def test_channels_are_last_where_they_are_fewer_than_pixels(shape: tuple, seen: tuple) -> None:
    assert beside_a(images(*shape)).spec.modalities[1].shape == seen


@pytest.mark.parametrize(("trained", "given"), [(1, 255), (255, 1)])
def test_images_of_another_unit_than_the_run_s_are_refused(trained: int, given: int) -> None:
    pictures = RANDOM.uniform(size=(NUM, 8, 8))
    state = MultimodalState.from_plain(beside_a(pictures * trained).state_dict())
    state.check_unit("b", pictures * trained)
    np.save("b.npy", pictures * given)
    other = unread({"a": "a.npy", "b": "b.npy"})
    other.run_state = state
    with pytest.raises(ValueError, match=r"b has values up to .* (multiply|divide) by 255"):
        other.setup()


@pytest.mark.parametrize("dtype", ["int64", "uint16", "float32", "float16"])
def test_bytes_of_any_type_are_divided_by_255(dtype: str) -> None:
    pictures = images(3, 8, 8).astype(dtype)
    data = beside_a(pictures)
    assert MultimodalState.from_plain(data.state_dict()).form("b").unit == 255.0


def test_bytes_are_told_by_all_images() -> None:
    pictures = np.zeros((300, 8, 8, 3), dtype=np.uint8)
    pictures[280:] = 200
    np.save("i.npy", pictures)
    np.save("many.npy", RANDOM.normal(size=(300, 3)))
    assert rows_of(ready({"a": "many.npy", "i": "i.npy"}), 1).max() < 1


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_tokens_are_of_any_whole_type(dtype: str) -> None:
    tokens = RANDOM.integers(0, 2, (NUM, 5)).astype(dtype)
    tokens[0] = 1
    data = beside_a(tokens, kinds={"b": "tokens"})
    assert data.spec.modalities[1].shape == (5, 2)


def test_a_padding_number_is_no_part_of_the_vocabulary() -> None:
    tokens = RANDOM.integers(0, 7, (NUM, 5))
    tokens[0], tokens[:, 4] = 6, 50256
    data = beside_a(tokens, kinds={"b": "tokens"}, padding=50256)
    assert data.spec.modalities[1].shape == (5, 7)
    assert (rows_of(data, 1)[:, 4] == 0).all()


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.ones((NUM, 3)), {}, "'b' is constant in training"),
        (1e9 + B.astype(float), {}, "'b' is constant in training.*subtract its"),
        (np.array(["one", "text"])[[1] * NUM], {}, "'b' is constant in training"),
        (TEXTS, {"standardise": ["b"]}, "names 'b', which holds tokens"),
        (B, {"padding": 3}, "data.padding is 3, but no modality holds token"),
        (np.full(NUM, "\U0001f426"), {}, r"hold no words; data.kinds=\{NAME: letters"),
        (B, {"missing_fraction": 0.999999}, "no training event with two modalities"),
        (B, {"kinds": {"b": "image"}}, r"b has the shape \(60, 4\); images are"),
        (B, {"kinds": {"b": "words"}}, "data.kinds.b is words, but b holds float32"),
        (B.astype(complex), {}, "holds complex128, not numbers"),
        (B.astype(float) * 1e39, {}, "b holds .*e.* in row 0.* values must be finite, up to 3.4e"),
        (np.where(B > 1, np.inf, 1.0), {"kinds": {"b": "tokens"}}, "b has the token inf in row"),
        (RANDOM.poisson(3, (NUM, 4)), COUNTS | {"standardise": ["b"]}, "'b', which holds counts"),
        (B[:, 0], {}, r"shape \(60,\).*array.reshape\(-1, 1\)"),
        (np.arange(NUM * 3).reshape(NUM, 3) * 10**7, {"kinds": {"b": "tokens"}}, "data.padding"),
        (RANDOM.dirichlet([1, 1], (NUM, 4)), {"kinds": {"b": "tokens"}}, "nor one-hot"),
        (np.round(B[:, 0], 2).astype(str), {}, r"numbers as texts.*array.astype\(float\)"),
    ],
)
def test_arrays_that_mean_something_else_are_refused(array, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        beside_a(array, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2), torch.zeros(2)], r"holds a list.*torch.stack\(tensors\)"),
        ({"x": {"y": torch.zeros(2)}}, "holds a dict, not a tensor"),
        ({}, "it is empty"),
        (B, r"Python objects.*torch.save\(torch.as_tensor\(x\), FILE\)"),
    ],
)
def test_a_pt_without_a_tensor_is_refused(content: object, message: str) -> None:
    torch.save(content, "b.pt")
    with pytest.raises(ValueError, match=message):
        read_array("b.pt")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e5m2])
def test_tensors_of_any_type_and_keys_that_are_numbers(dtype: torch.dtype) -> None:
    torch.save({0: torch.ones(2, 3).to(dtype), 1: torch.zeros(1)}, "b.pt")
    assert (read_array("b.pt:0") == 1).all()


def test_texts_whose_words_never_recur_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    beside_a(np.array([chr(0x4E00 + i) * 5 for i in range(NUM)]))
    assert "100% of the words of training texts occur once" in caplog.text
    assert "data.kinds={b: letters}" in caplog.text


def test_features_without_a_value_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    values = B.copy()
    values[:, 2] = np.nan
    beside_a(values)
    assert "b: 1 of 4 features have no value in training (number 2" in caplog.text


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array(["x", "nan", "y"])[np.arange(NUM) % 3], ("x", "y")),
        (np.array(["x ", " x", "y"])[np.arange(NUM) % 3], ("x", "y")),
        (np.array(["x", "None", "y"])[np.arange(NUM) % 3], ("None", "x", "y")),
    ],
)
def test_texts_of_labels_are_stripped_and_words_for_nothing_unknown(labels, classes) -> None:
    assert labelled(labels).spec.class_names == classes


@pytest.mark.parametrize("value", [np.inf, 1e20, 2.5])
def test_labels_that_are_no_classes_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="labels are whole numbers or texts"):
        labelled(np.where(np.arange(NUM) % 2, value, 1))


def test_rare_classes_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    labelled(np.where(np.arange(NUM) < 20, np.arange(NUM) + 10, 1))
    assert "class '10' has 1 of 60 events, and 19 other classes one or two" in caplog.text
    assert caplog.text.count("all of them train") == 1
    with pytest.raises(ValueError, match="labels are classes, not names or numbers of events"):
        labelled(np.arange(NUM))


def test_units_far_from_1_are_warned_of_or_refused(caplog: pytest.LogCaptureFixture) -> None:
    beside_a(B * 1e-12, standardise=["b"])
    assert "standardise" not in caplog.text
    sixteen_bits = images(8, 8).astype(np.uint16) * 257
    for far in (B * 1e-12, B * 1e3, B + 1e3, sixteen_bits):
        caplog.clear()
        beside_a(far)
        assert "values far from 1: set data.standardise=[b]" in caplog.text
    caplog.clear()
    beside_a(RANDOM.poisson(1e4, (NUM, 4)))
    assert "standardise" not in caplog.text
    with pytest.raises(ValueError, match=r"whose squares overflow; set data.standardise=\[b\]"):
        beside_a(B * 1e30)
