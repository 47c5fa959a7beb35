"""CelebA, CUB and MIMIC-CXR: small files of the real layout, what is missing, and stand-ins."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mixvae.data import CelebADataModule, CUBDataModule, MimicCXRDataModule
from mixvae.data.modalities.celeba import ALPHABET, NAMES, TEXTS, attribute_texts, letters
from mixvae.data.modalities.cub import COLOURS, colours
from mixvae.data.modalities.mimic_cxr import FINDINGS
from mixvae.data.modalities.paper_sets import drawn_tags

RANDOM = np.random.default_rng(0)
NUM = 20


def picture(path: Path, grey: int = 100, size: tuple[int, int] = (178, 218)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), grey, dtype=np.uint8)
    pixels[size[1] // 2 :] = 255 - grey
    Image.fromarray(pixels).save(path, quality=95)


def table(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([header, *rows])
    text = content.getvalue().encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def write_celeba(folder: Path) -> None:
    names = [f"{n:06}.jpg" for n in range(1, NUM + 1)]
    attributes = np.where(RANDOM.random((NUM, 40)) < 0.5, 1, -1)
    attributes[:, 0] = np.where(np.arange(NUM) % 2, 1, -1)
    for n, name in enumerate(names):
        picture(folder / "img_align_celeba" / name, 5 * n)
    parts = [0] * 12 + [1] * 4 + [2] * 4
    table(
        folder / "list_eval_partition.csv",
        ["image_id", "partition"],
        [*map(list, zip(names, parts, strict=True))],
    )
    rows = [[name, *row] for name, row in zip(names, attributes.tolist(), strict=True)]
    table(folder / "list_attr_celeba.csv", ["image_id", *NAMES], rows)
    texts = [[name, f"Male, young {n}".ljust(256, "*")] for n, name in enumerate(names)]
    table(folder / TEXTS, ["image_id", "text"], texts)


def write_cub(folder: Path) -> None:
    names = [f"{n % 3:03}.Bird/bird_{n}.jpg" for n in range(NUM)]
    folder.mkdir(exist_ok=True)
    lines = [f"{n} {name}\n" for n, name in enumerate(names, 1)]
    (folder / "idx2name.txt").write_text("".join(lines))
    for n, name in enumerate(names):
        picture(folder / "images" / name, 5 * n, (100, 60))
        caption = folder / "captions" / name.replace(".jpg", ".txt")
        caption.parent.mkdir(parents=True, exist_ok=True)
        many = " ".join(["word"] * 40)
        caption.write_text(f"this bird number{n} has a red beak.\n{many}\n...\n")
    (folder / "train_idx.txt").write_text("".join(f"{n}\n" for n in range(14)))
    (folder / "test_idx.txt").write_text("".join(f"{n}\n" for n in range(14, NUM)))
    labels = (RANDOM.random((NUM, 312)) < 0.3).astype(int)
    (folder / "labels.txt").write_text("".join(f"{' '.join(map(str, row))}\n" for row in labels))


def write_mimic(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    metadata, findings = [], []
    for n in range(NUM):
        subject, study = 10_000_000 + n // 2, 50_000_000 + n
        views = ["PA", "LATERAL", "LL"] if n % 2 else ["AP", "LATERAL"]
        if n == 0:
            views = ["AP"]  # no lateral view: no event
        for view in views:
            name = f"{n}-{view}"
            metadata.append([name, subject, study, view])
            path = folder / "files" / f"p{str(subject)[:2]}" / f"p{subject}" / f"s{study}"
            picture(path / f"{name}.jpg", 5 * n, (120, 100))
        values = [["", "-1.0", "0.0", "1.0"][(n + k) % 4] for k in range(14)]
        findings.append([subject, study, *values])
    table(folder / "mimic-cxr-2.0.0-metadata.csv.gz", HEAD.split(","), metadata)
    table(
        folder / "mimic-cxr-2.0.0-chexpert.csv.gz", ["subject_id", "study_id", *FINDINGS], findings
    )


def ready(module: type, path: Path | None, **options: Any) -> Any:
    given = None if path is None else str(path)
    data = module(seed=0, path=given, batch_size=2, **{"size": 16, **options})
    data.setup()
    return data


def whole(data: Any, split: str) -> Any:
    (batch,) = data.eval_dataloader(split)
    return batch


def test_celeba_has_its_partition_crop_letters_and_attributes(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    data = ready(CelebADataModule, tmp_path)
    assert [len(data.event_rows(part)) for part in ("train", "val", "test")] == [12, 4, 4]
    image, text = data.spec.modalities
    assert (image.shape, text.kind, text.shape[0]) == ((3, 16, 16), "tokens", 256)
    assert data.tags.shape == (NUM, 40)
    assert data.tags[:4, 0].tolist() == [0, 1, 0, 1]
    batch = whole(data, "train")
    told = "".join(ALPHABET[k] for k in batch.x[1][3].argmax(-1)[:13])
    assert told == "male, young 3"
    assert not batch.x[1][3, 14:].any()  # padding
    assert float(batch.x[0][3, 0, 2, 2]) == pytest.approx(15 / 255, abs=0.02)
    assert float(batch.x[0][3, 0, -2, 2]) == pytest.approx(240 / 255, abs=0.02)


def test_celeba_without_its_texts_names_the_attributes(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / TEXTS).unlink()
    data = ready(CelebADataModule, tmp_path)
    row = int(data.event_rows("train")[1])
    expected = letters(attribute_texts(data.tags[row : row + 1], NAMES))[0]
    found = whole(data, "train").x[1][1]
    assert found.argmax(-1)[expected >= 0].tolist() == expected[expected >= 0].tolist()
    assert attribute_texts(np.array([[1, 0, 1]]), ["Big_Lips", "a", "Male"]) == ["big lips, male"]


def test_cub_has_an_event_for_each_caption_and_splits_by_bird(tmp_path: Path) -> None:
    write_cub(tmp_path)
    data = ready(CUBDataModule, tmp_path, val_fraction=0.2)
    sizes = [len(data.event_rows(part)) for part in ("train", "val", "test")]
    assert sizes == [33, 9, 18]  # three captions a bird, one of them without words
    batch = whole(data, "test")
    assert (~batch.present[:, 1]).sum() == 6
    image, caption = data.spec.modalities
    assert image.shape == (3, 16, 16)
    assert caption.shape[0] == 32  # 31 words and their end
    rows = {part: {row // 3 for row in data.event_rows(part)} for part in ("train", "val", "test")}
    assert not rows["train"] & rows["val"]
    assert rows["test"] == set(range(14, NUM))
    attributes = np.zeros((1, 312))
    attributes[0, 248 + 13] = attributes[0, 248 + 11] = 1
    assert dict(zip(COLOURS, colours(attributes)[0], strict=True)) == {
        **dict.fromkeys(COLOURS, 0.0),
        "blue2red": 1,
        "black": 1,
    }


def test_mimic_pairs_views_of_a_study_and_splits_by_subject(tmp_path: Path) -> None:
    write_mimic(tmp_path)
    data = ready(MimicCXRDataModule, tmp_path, val_fraction=0.2, test_fraction=0.2)
    frontal, lateral = data.spec.modalities
    assert frontal.shape == lateral.shape == (1, 16, 16)
    pairs = data.tags.shape[0]
    assert pairs == 9 + 2 * 10  # one of two views with each lateral one; the first study has none
    subject = np.array([n // 2 for n in range(1, NUM) for _ in range(1 + n % 2)])
    parts = [set(subject[data.event_rows(part)]) for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert len(set.union(*parts)) == 10
    # study 1: values -1, 0, 1, missing, ...: only 1 is a finding
    assert data.tags[0].tolist() == [float((1 + k) % 4 == 3) for k in range(14)]


MODULES = {
    "celeba": (CelebADataModule, write_celeba),
    "cub": (CUBDataModule, write_cub),
    "mimic": (MimicCXRDataModule, write_mimic),
}


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("celeba", "list_eval_partition.csv", "no list_eval_partition.csv in .*img_align_celeba"),
        ("celeba", "list_attr_celeba.csv", "no list_attr_celeba.csv in"),
        ("celeba", "img_align_celeba", "no img_align_celeba in"),
        ("celeba", "img_align_celeba/000003.jpg", "no file .*000003.jpg"),
        ("cub", "train_idx.txt", "no train_idx.txt in"),
        ("cub", "test_idx.txt", "no test_idx.txt in"),
        ("cub", "labels.txt", "no labels.txt in"),
        ("cub", "captions/000.Bird/bird_0.txt", "no 000.Bird/bird_0.txt in .*captions"),
        ("mimic", "mimic-cxr-2.0.0-metadata.csv.gz", "no mimic-cxr-2.0.0-metadata.csv.gz or"),
        ("mimic", "mimic-cxr-2.0.0-chexpert.csv.gz", "no mimic-cxr-2.0.0-chexpert.csv.gz or"),
        ("mimic", "files", "no files in"),
    ],
)
def test_what_a_layout_lacks_is_named(
    name: str, missing: str, message: str, tmp_path: Path
) -> None:
    module, write = MODULES[name]
    write(tmp_path)
    path = tmp_path / missing
    path.unlink() if path.is_file() else path.rename(path.with_name("moved"))
    with pytest.raises(FileNotFoundError, match=message):
        ready(module, tmp_path)


HEAD = "dicom_id,subject_id,study_id,ViewPosition"
PARTS = "".join(f"{n:06}.jpg,{n % 2}\n" for n in range(1, NUM + 1))


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("cub", "labels.txt", "0 1\n" * NUM, r"has 20 lines, of 2 numbers first.*312 attributes"),
        ("cub", "idx2name.txt", "0 a/b.jpg\n", r"line 1 is '0 .*, not `1 name.jpg`"),
        ("cub", "test_idx.txt", "20\n", "names bird 20, counted from 0; idx2name.txt has 20"),
        ("celeba", "list_eval_partition.csv", "image_id,split\n", "has no column 'partition'; it"),
        ("celeba", "list_eval_partition.csv", f"image_id,partition\n{PARTS}", "in the split test"),
        (
            "mimic",
            "mimic-cxr-2.0.0-metadata.csv.gz",
            f"{HEAD}\na,1,2,AP\n",
            "no study has a frontal",
        ),
    ],
)
def test_files_of_another_form_are_refused(
    name: str, file: str, content: str, message: str, tmp_path: Path
) -> None:
    module, write = MODULES[name]
    write(tmp_path)
    text = content.encode()
    (tmp_path / file).write_bytes(gzip.compress(text) if file.endswith(".gz") else text)
    with pytest.raises(ValueError, match=message):
        ready(module, tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_a_stand_in_runs_anywhere(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mixvae")
    module, _ = MODULES[name]
    data = ready(module, None, max_events=120)
    assert "simulated events take the place of" in caplog.text
    assert [len(data.event_rows(part)) for part in ("train", "val", "test")] == [80, 20, 20]
    assert data.tags.shape == (120, len(module.tag_names))


def test_a_stand_in_shows_its_tags() -> None:
    tags = np.eye(3)
    images = drawn_tags(np.vstack([tags, tags]), 16, 1, seed=2).astype(float)
    apart = abs(images[:3, None] - images[None, 3:]).mean((2, 3, 4))
    assert apart.diagonal().max() < apart[~np.eye(3, dtype=bool)].min()
