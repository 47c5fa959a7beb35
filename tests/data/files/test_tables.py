"""Tables as users write them: signs, names, ids, missing values and encodings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixvae.data.files.arrays import read_array, read_rows
from mixvae.data.files.labels import read_label_rows, read_labels
from mixvae.data.modalities.datamodule import MultimodalDataModule

NUM = 30
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(NUM, 4)).round(3)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(
    name: str,
    values: np.ndarray = X,
    *,
    sign: str = ",",
    header: str | None = None,
    ids: list[object] | None = None,
    comma: bool = False,
) -> str:
    lines = [] if header is None else [header]
    for i, row in enumerate(values):
        cells = [str(value).replace(".", ",") if comma else str(value) for value in row]
        lines.append(sign.join([*([] if ids is None else [str(ids[i])]), *cells]))
    Path(name).write_text("\n".join(lines) + "\n")
    return name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.csv", {"sign": ";", "header": "p;q;r;s"}),
        ("x.csv", {"sign": ";"}),
        ("x.csv", {"sign": "\t", "header": "p\tq\tr\ts"}),
        ("x.tsv", {"sign": ",", "header": "p,q,r,s"}),
        ("x.csv", {"sign": ";", "header": "p;q;r;s", "comma": True}),
        ("x.csv", {"header": "2019,2020,2021,2022"}),
        ("x.csv", {"header": "400.0,402.5,405.0,407.5"}),
        ("x.csv", {"header": ",2019,2020,2021,2022", "ids": list(range(NUM))}),
    ],
)
def test_signs_and_names_are_told(name: str, options: dict) -> None:
    np.testing.assert_array_equal(read_array(written(name, **options)), X.astype(np.float32))


def test_a_long_increasing_line_above_values_names_columns() -> None:
    values = RANDOM.normal(size=(NUM, 9)).round(3)
    header = "101.2,133.7,180.1,255.0,301.9,302.1,400.4,411.0,500.9"
    assert read_array(written("x.csv", values, header=header)).shape == (NUM, 9)


@pytest.mark.parametrize("first", [[0, 1, 2], [1, 2, 3]])
def test_a_first_line_of_values_in_steps_stays(first: list[int]) -> None:
    values = np.array([first, *RANDOM.integers(0, 4, (NUM, 3))])
    assert read_array(written("x.csv", values)).shape == (NUM + 1, 3)


@pytest.mark.parametrize("word", ["-", "?", "n.a.", "#N/A", "1.#QNAN", "NaT", "missing"])
def test_words_for_nothing_are_missing_values(word: str) -> None:
    text = Path(written("x.csv")).read_text().replace(str(X[3, 2]), word)
    Path("x.csv").write_text(text)
    assert np.argwhere(np.isnan(read_array("x.csv"))).tolist() == [[3, 2]]


def test_truths_are_1_and_0_and_an_empty_last_column_is_none() -> None:
    Path("x.csv").write_text("p,q,\n" + "True,FALSE,\nfalse,TRUE,\n" * 3)
    np.testing.assert_array_equal(read_array("x.csv"), [[1, 0], [0, 1]] * 3)


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        ("patient_id,p,q,r,s", RANDOM.permutation(900)[:NUM].tolist()),
        ("Subject ID,p,q,r,s", RANDOM.permutation(900)[:NUM].tolist()),
        ("sampleId,p,q,r,s", RANDOM.permutation(900)[:NUM].tolist()),
        ("id,p,q,r,s", [float(i) for i in RANDOM.permutation(900)[:NUM]]),
        ("id,p,q,r,s", [i // 2 for i in range(NUM)]),
    ],
)
def test_columns_of_ids_are_no_features(header: str, ids: list[object]) -> None:
    rows = read_rows(written("x.csv", header=header, ids=ids))
    np.testing.assert_array_equal(rows.values, X.astype(np.float32))
    assert rows.ids == tuple(str(int(float(one))) for one in ids)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["acid", "width", "lipid_mid"])
def test_whole_numbers_of_another_name_are_a_feature(name: str) -> None:
    ids = RANDOM.permutation(900)[:NUM].tolist()
    assert read_array(written("x.csv", header=f"{name},p,q,r,s", ids=ids)).shape == (NUM, 5)


CAPTIONS = [f"{i % 7} birds on a tree" if i % 3 else f"a bird, no. {i}" for i in range(NUM)]


@pytest.mark.parametrize(
    ("header", "ids", "sign"),
    [
        ("caption", None, ","),
        ("id,caption", [f"s{i}" for i in range(NUM)], ","),
        ("image_id,caption", [7 * i % 31 for i in range(NUM)], ","),
        ("file,caption", [f"{i}.jpg" for i in range(NUM)], ","),
        ("id;caption", [f"s{i}" for i in range(NUM)], ";"),
    ],
)
def test_texts_may_begin_with_numbers_and_have_ids(header, ids, sign) -> None:
    lines = [
        f'"{text}"' if ids is None else f'{ids[i]}{sign}"{text}"' for i, text in enumerate(CAPTIONS)
    ]
    Path("x.csv").write_text("\n".join([header, *lines]) + "\n")
    rows = read_rows("x.csv")
    assert rows.values.tolist() == CAPTIONS
    assert (rows.ids is None) == (ids is None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("größe,y\n1,2\n".encode("latin-1"), r"x.csv is not text in UTF-8: byte 2 is 0xf6"),
        (b'p\n"' + b"a" * 140_000, "x.csv, line 2: field larger .* quotation mark"),
        (b"species,x\n" + b"a,1\nb,2\n" * 3, "'species'.* words that recur, such as 'a'"),
        (b"x,y,species\n" + b"1,2,a\n3,4,b\n" * 3, "'a' is not .* column species holds words"),
        (b'x,y\n"1,234.5",2\n3,4\n', "'1,234.5' is not .* nothing between thousands"),
        (b"x,y\n1,2\n3,abc\n4,5\n", "'abc' is not a number; .*leave a field empty"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_named_with_the_remedy(content: bytes, message: str) -> None:
    Path("x.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_array("x.csv")


def test_utf_16_is_read() -> None:
    Path("x.csv").write_bytes(Path(written("x.csv")).read_text().encode("utf-16"))
    np.testing.assert_array_equal(read_array("x.csv"), X.astype(np.float32))


def test_numbers_in_a_txt_are_refused() -> None:
    np.savetxt("x.txt", X)
    with pytest.raises(ValueError, match=r"x.txt holds numbers, .*save it as .npy"):
        read_rows("x.txt")


def test_texts_that_end_in_numbers_are_texts() -> None:
    Path("x.txt").write_text("".join(f"bird {i}\n" for i in range(NUM)))
    assert read_rows("x.txt").values[3] == "bird 3"


@pytest.mark.parametrize("label", ["1", "t0"])
def test_labels_beside_ids_and_tags(label: str) -> None:
    order = RANDOM.permutation(NUM)
    Path("y.csv").write_text("id,type\n" + "".join(f"{i},{label}{i % 2}\n" for i in order))
    labels, ids = read_label_rows("y.csv", NUM)
    assert ids == tuple(map(str, order))
    assert [str(one) for one in labels] == [f"{label}{i % 2}" for i in order]


@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("words", [("0", "1"), ("False", "True")])
def test_two_tags_are_two_tags(with_ids: bool, words: tuple[str, str]) -> None:
    lines = [
        ("" if not with_ids else f"s{i},") + f"{words[i % 2]},{words[i // 2 % 2]}"
        for i in range(NUM)
    ]
    Path("y.csv").write_text(("id," if with_ids else "") + "red,blue\n" + "\n".join(lines) + "\n")
    tags = read_labels("y.csv", NUM)
    np.testing.assert_array_equal(tags, [[i % 2, i // 2 % 2] for i in range(NUM)])


def opened(modalities: dict[str, str], labels: str | None = None) -> MultimodalDataModule:
    data = MultimodalDataModule(seed=0, modalities=modalities, labels=labels, batch_size=8)
    data.setup()
    return data


@pytest.mark.parametrize("prefix", ["", "s"])
def test_ids_in_no_order_beside_a_file_without_ids_are_warned_of(caplog, prefix: str) -> None:
    np.save("a.npy", X)
    opened(
        {
            "a": "a.npy",
            "b": written("b.csv", header="id,p,q,r,s", ids=[f"{prefix}{i}" for i in range(NUM)]),
        }
    )
    assert "not in order" not in caplog.text
    order = [f"{prefix}{i}" for i in RANDOM.permutation(NUM)]
    written("b.csv", header="id,p,q,r,s", ids=order)
    Path("y.csv").write_text("id,type\n" + "".join(f"{i},t{i[-1]}\n" for i in order))
    opened({"a": "a.npy", "b": "b.csv"}, "y.csv")
    for file, other in (("b.csv", "a.npy"), ("y.csv", "data.modalities")):
        told = f"the ids in {file} are not used, since {other} has none: row i of each is event i"
        assert f"{told}, though the ids are not in order" in caplog.text


def test_few_events_in_common_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    a = written("a.csv", header="id,p,q,r,s", ids=[str(i + 5) for i in range(NUM)])
    b = written("b.csv", header="id,p,q,r,s", ids=[f"{i + 5:02d}" for i in range(NUM)])
    opened({"a": a, "b": b})  # 5 and 05 differ, 10 and 10 do not
    assert "in every file" not in caplog.text or "too few" not in caplog.text
    b = written("b.csv", header="id,p,q,r,s", ids=[f"{i:03d}" for i in range(85, 85 + NUM)])
    written("a.csv", header="id,p,q,r,s", ids=[str(i) for i in range(71, 71 + NUM)])
    opened({"a": a, "b": b})
    assert "of which 1 are in every file. If that is too few, ids may be written" in caplog.text


def test_a_row_without_an_id_is_refused() -> None:
    ids = ["" if i == 4 else f"s{i}" for i in range(NUM)]
    b = written("b.csv", header="id,p,q,r,s", ids=ids)
    with pytest.raises(ValueError, match=r"b.csv has no id in row 4.* and 1 such rows"):
        opened({"a": b, "b": b})


def test_labels_of_other_ids_are_refused() -> None:
    a = written("a.csv", header="id,p,q,r,s", ids=[f"s{i}" for i in range(NUM)])
    Path("y.csv").write_text("id,type\n" + "".join(f"c{i},t{i % 2}\n" for i in range(NUM)))
    with pytest.raises(
        ValueError, match=r"y.csv names its rows 'c0', ..., and the events are 's0'"
    ):
        opened({"a": a, "b": a}, "y.csv")


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        (["5,9,7,8"], "The first line of b.csv may be names: remove it if so"),
        (None, "The first line of b.csv was taken for names: write one above it"),
    ],
)
def test_one_row_too_many_or_too_few_is_explained(lines: list[str] | None, hint: str) -> None:
    np.save("a.npy", X)
    if lines is None:
        Path("b.csv").write_text("\n".join(CAPTIONS).replace(",", " ") + "\n")
    else:
        written("b.csv", header=lines[0])
    with pytest.raises(ValueError, match=hint):
        opened({"a": "a.npy", "b": "b.csv"})
