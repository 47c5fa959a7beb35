"""Images of the user's own: each way to give them is the same data; each fault is named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mixvae.data.files.given import giving, name_of
from mixvae.data.images.datamodule import ImageDataModule, RepeatedOrder
from mixvae.data.images.image_arrays import channels_first, resized
from mixvae.data.images.image_files import Layout, read_images
from tests.data.conftest import idx_bytes

N = 40


def make_images(shape: tuple[int, ...] = (6, 7), seed: int = 0) -> np.ndarray:
    images = np.random.default_rng(seed).integers(0, 256, (N, *shape), dtype=np.uint8)
    images[0].flat[:2] = 0, 255
    return images


IMAGES = make_images()
LABELS = np.arange(N) % 13


def write_pictures(
    folder: Path, images: np.ndarray, labels: np.ndarray | None = None, kind: str = "png"
) -> Path:
    for number, image in enumerate(images):
        place = folder if labels is None else folder / f"class {labels[number]:02d}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:03d}.{kind}")
    return folder


def write_idx(path: Path, array: np.ndarray) -> Path:
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read(path: Path | str, **options: Any) -> ImageDataModule:
    data = ImageDataModule(seed=0, path=str(path), **options)
    data.setup("fit")
    return data


def samples(data: ImageDataModule) -> dict[int, tuple[torch.Tensor, str]]:
    """Sample and name of the class of each row, over all splits."""
    found = {}
    for split in ("train", "val", "test"):
        for batch in data.eval_dataloader(split):
            for x, label, index in zip(batch.x, batch.label.tolist(), batch.index, strict=True):
                name = data.spec.class_names[label] if label >= 0 else ""
                found[int(index)] = x, name
    return found


def forms(folder: Path) -> dict[str, dict[str, str]]:
    """The same images and labels in every form, as settings."""
    np.save(folder / "x.npy", IMAGES)
    np.save(folder / "y.npy", LABELS)
    np.savez(folder / "both.npz", images=IMAGES, labels=LABELS)
    np.savez(folder / "other.npz", pictures=IMAGES, else_=LABELS)
    write_idx(folder / "train-images-idx3-ubyte", IMAGES)
    write_idx(folder / "train-labels-idx1-ubyte", LABELS.astype(np.uint8))
    write_idx(folder / "mine.idx.gz", IMAGES)
    write_idx(folder / "classes.idx", LABELS.astype(np.int32))
    (folder / "y.csv").write_text("class\n" + "".join(f"{label}\n" for label in LABELS))
    write_pictures(folder / "flat", IMAGES)
    at = str(folder)
    return {
        "npy": {"path": f"{at}/x.npy", "labels": f"{at}/y.npy"},
        "npy, csv": {"path": f"{at}/x.npy", "labels": f"{at}/y.csv"},
        "npz": {"path": f"{at}/both.npz"},
        "npz, key": {"path": f"{at}/other.npz:pictures", "labels": f"{at}/other.npz:else_"},
        "idx": {"path": f"{at}/train-images-idx3-ubyte"},
        "idx, gz": {"path": f"{at}/mine.idx.gz", "labels": f"{at}/classes.idx"},
        "folder": {"path": f"{at}/flat", "labels": f"{at}/y.npy"},
    }


FORMS = ("npy", "npy, csv", "npz", "npz, key", "idx", "idx, gz", "folder")


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_the_same_data(form: str, tmp_path: Path) -> None:
    found = samples(read(**forms(tmp_path)[form]))
    assert sorted(found) == list(range(N))
    for row, (x, name) in found.items():
        assert torch.equal(x, torch.from_numpy(IMAGES[row][None] / np.float32(255)))
        assert name == str(LABELS[row])


def test_arrays_from_python_are_the_same_data() -> None:
    settings = ImageDataModule.take(IMAGES, list(LABELS))
    objects = {name_of(value): value for value in settings.values()}
    with giving(objects):
        data = ImageDataModule(seed=0, **dict(zip(settings, objects, strict=True)))
        found = samples_after_setup(data)
    assert [found[row][1] for row in range(N)] == [str(label) for label in LABELS]


def test_folders_name_the_classes_and_the_splits(tmp_path: Path) -> None:
    write_pictures(tmp_path / "d" / "train", IMAGES, LABELS)
    write_pictures(tmp_path / "d" / "test", IMAGES[:20], LABELS[:20])
    data = read(tmp_path / "d")
    assert data.spec.class_names == tuple(f"class {label:02d}" for label in range(13))
    assert {s: len(r.rows) for s, r in data._splits.items()} == {"train": 36, "val": 4, "test": 20}
    assert data.spec.shape == (1, 6, 7)


def test_an_npz_with_splits_of_its_own(tmp_path: Path) -> None:
    parts = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:9], "y_test": LABELS[:9]}
    np.savez(tmp_path / "keras.npz", **parts)
    data = read(tmp_path / "keras.npz")
    (batch,) = data.test_dataloader()
    assert batch.label.tolist() == LABELS[:9].tolist()
    np.savez(
        tmp_path / "med.npz", train_images=IMAGES, val_images=IMAGES[:5], test_images=IMAGES[:6]
    )
    assert {s: len(r.rows) for s, r in read(tmp_path / "med.npz")._splits.items()} == {
        "train": N, "val": 5, "test": 6,
    }  # fmt: skip


def test_an_official_test_set_is_kept_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    np.save(tmp_path / "t.npy", IMAGES[::-1])
    data = read(tmp_path / "x.npy", test_path=str(tmp_path / "t.npy"))
    (batch,) = data.test_dataloader()
    assert torch.equal(batch.x[0, 0], torch.from_numpy(IMAGES[-1] / np.float32(255)))
    assert len(batch.x) == N


@pytest.mark.parametrize(
    ("shape", "channels", "expected", "told"),
    [
        ((5, 6, 7), None, (1, 6, 7), ""),
        ((5, 6, 7, 3), None, (3, 6, 7), "lie last"),
        ((5, 6, 7, 1), None, (1, 6, 7), "lie last"),
        ((5, 3, 6, 7), None, (3, 6, 7), "lie first"),
        ((5, 3, 6, 3), None, (3, 6, 3), "lie first"),
        ((5, 3, 6, 3), "last", (3, 3, 6), ""),
        ((5, 9, 6, 7), "first", (9, 6, 7), ""),
    ],
)
def test_channels_are_guessed_and_the_guess_is_logged(
    shape: Any, channels: Any, expected: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mixvae")
    images = np.arange(np.prod(shape)).reshape(shape)
    moved = channels_first(images, channels, "x.npy")
    assert moved.shape[1:] == expected
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)
    if expected[0] == 3 and shape[1] != 3:
        assert np.array_equal(moved[:, 2], images[..., 2])


@pytest.mark.parametrize(
    ("images", "first"),
    [
        (IMAGES / 255.0, None),
        (IMAGES.astype(np.float32), None),
        (IMAGES.astype(np.int64) // 16, (IMAGES[1] // 16) / 15),
        (IMAGES.astype(float) - 100, None),
        (IMAGES > 100, IMAGES[1] > 100),
    ],
)
def test_values_of_any_type_become_0_to_1(images: np.ndarray, first: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images)
    x = samples(read(tmp_path / "x.npy"))[1][0][0].numpy()
    np.testing.assert_allclose(x, IMAGES[1] / 255 if first is None else first, atol=1e-6)


def test_colour_pictures_and_grey_ones_are_colour_together(tmp_path: Path) -> None:
    colour = make_images((6, 7, 3))
    write_pictures(tmp_path / "c", colour[:20])
    write_pictures(tmp_path / "c", IMAGES[20:], kind="jpg")
    for number, path in enumerate(sorted((tmp_path / "c").glob("*.jpg"))):
        path.rename(path.with_name(f"{20 + number:03d}.JPG"))
    data = read(tmp_path / "c")
    assert data.spec.shape == (3, 6, 7)
    found = samples(data)
    assert torch.equal(
        found[3][0], torch.from_numpy(np.moveaxis(colour[3], 2, 0) / np.float32(255))
    )
    assert torch.equal(found[30][0][0], found[30][0][1])


def test_transparency_palettes_and_sixteen_bits(tmp_path: Path) -> None:
    grey = Image.fromarray(IMAGES[0])
    for mode, dtype in (("P", np.uint8), ("RGBA", np.uint8), ("LA", np.uint8), ("I;16", np.uint16)):
        folder = tmp_path / mode.replace(";", "")
        folder.mkdir()
        deep = Image.fromarray(IMAGES[0].astype(np.uint16) * 257)
        for number in range(10):
            (deep if mode == "I;16" else grey.convert(mode)).save(folder / f"{number}.png")
        pixels = read_images(str(folder), None, Layout())["train"].pixels
        assert pixels.dtype == dtype
        assert pixels.shape[0] == 10
        assert pixels.max() == (65535 if dtype == np.uint16 else 255)


def test_images_of_unlike_sizes_can_be_resized(tmp_path: Path) -> None:
    for number in range(10):
        size = 8 if number % 2 else 16
        Image.fromarray(np.full((size, size), 7 * number + 1, np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    pixels = read_images(str(tmp_path), None, Layout(size=(4, 4)))["train"].pixels
    assert pixels.shape == (10, 1, 4, 4)
    assert pixels[:, 0, 2, 1].tolist() == [7 * number + 1 for number in range(10)]
    ramp = np.arange(16.0).reshape(1, 1, 4, 4)
    assert resized(ramp, (2, 2)).mean() == pytest.approx(ramp.mean())


def test_few_images_are_gone_through_several_times_an_epoch(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    data = read(tmp_path / "x.npy", batch_size=9, least_steps=10)
    loader = data.train_dataloader()
    seen = [row for batch in loader for row in batch.index.tolist()]
    assert len(loader) >= 10
    train = data._splits["train"].rows.tolist()
    assert sorted(seen[: len(train)]) == train
    assert seen[: len(train)] != seen[len(train) : 2 * len(train)]
    first = RepeatedOrder(torch.arange(5), 0, 2).permuted().tolist()
    later = RepeatedOrder(torch.arange(5), 0, 2)
    later.set_epoch(1)
    assert first != later.permuted().tolist()


def test_a_batch_is_never_larger_than_the_training_set(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    data = read(tmp_path / "x.npy")
    assert [len(batch.x) for batch in data.train_dataloader()] == [29]


def test_a_trained_run_rules_other_images(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES.astype(np.float32))
    np.save(tmp_path / "y.npy", LABELS)
    np.save(tmp_path / "dark.npy", (IMAGES // 4).astype(np.float32))
    np.save(tmp_path / "few.npy", LABELS % 2)
    run = read(tmp_path / "x.npy", labels=str(tmp_path / "y.npy"))
    other = ImageDataModule(
        seed=0, path=str(tmp_path / "dark.npy"), labels=str(tmp_path / "few.npy")
    )
    other.go_by({"ImageDataModule": run.state_dict()})
    found = samples_after_setup(other)
    assert other.spec.class_names == run.spec.class_names
    np.testing.assert_allclose(found[1][0][0], (IMAGES[1] // 4) / 255, atol=1e-6)
    with pytest.raises(ValueError, match="trained on other images"):
        read(tmp_path / "dark.npy").load_state_dict(run.state_dict())


def samples_after_setup(data: ImageDataModule) -> dict[int, tuple[torch.Tensor, str]]:
    data.setup("test")
    return samples(data)


UNIT = IMAGES / 255
HOLE = np.where(np.arange(N * 42).reshape(N, 6, 7) == 17 * 42 + 2 * 7 + 3, np.nan, IMAGES)
ALIKE = r"t\.npy has pixel values from 0 to .*; scale them alike"
# Images, what stands beside them under a key, and what is said.
BESIDE: dict[str, tuple[np.ndarray, str, np.ndarray, str]] = {
    "labels": (IMAGES, "labels", LABELS[:-1], "39 labels for 40 samples"),
    "test shape": (IMAGES, "test_path", make_images((5, 5)), r"data\.size=32"),
    "bytes after units": (UNIT, "test_path", IMAGES, ALIKE),
    "units after bytes": (IMAGES, "test_path", UNIT, ALIKE),
    "units after centred": (2 * UNIT - 1, "test_path", UNIT, ALIKE),
}
ARRAY: dict[str, tuple[Any, str]] = {
    "nan": (HOLE, r"NaN or infinite in 1 of 40 images, the first in image 17"),
    "one": (IMAGES[:1], r"has 1 images, too few"),
    "flat": (IMAGES.reshape(N, 42), r"has the shape \(40, 42\); images have the shape \(N, height"),
    "square": (make_images((6, 6)).reshape(N, 36), r"images\.reshape\(-1, 6, 6\)"),
    "colours": (np.zeros((N, 48)), r"images\.reshape\(-1, 3, 4, 4\)"),
    "channels": (make_images((6, 5, 7)), r"data\.channels=first or last"),
    "constant": (np.zeros((N, 6, 7)), r"the same value 0 in every pixel"),
    "text": (np.full((N, 6, 7), "a"), r"not numbers"),
    "objects": (np.array([IMAGES[0], None], dtype=object), r"arrays of objects are not read"),
}
# What is done to the eighth of forty pictures.
PICTURE: dict[str, tuple[Callable[[Path], object], str]] = {
    "broken": (lambda file: file.write_text("no"), r"007\.png is not a readable picture"),
    "cut": (
        lambda file: file.write_bytes(file.read_bytes()[:60]),
        r"007\.png is not a readable picture",
    ),
    "sizes": (
        lambda file: Image.fromarray(IMAGES[0][:5]).save(file),
        r"000\.png has 6 x 7 pixels but .*007\.png has 5 x 7; data\.size=32",
    ),
    "depths": (
        lambda file: Image.fromarray(IMAGES[0].astype(np.uint16)).save(file),
        r"007\.png of uint16",
    ),
    "mixed": (
        lambda file: write_pictures(file.parent, IMAGES[:3], LABELS),
        r"beside folders of them",
    ),
}
FILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "none": (Path.mkdir, r"holds no picture \(\.png"),
    "own-images-idx3-ubyte": (
        lambda file: write_idx(file, IMAGES).write_bytes(file.read_bytes()[:-1]),
        r"its header of shape \(40, 6, 7\) says 1696 bytes, but it has 1695",
    ),
    "a.idx": (lambda file: file.write_bytes(b"hello world"), r"is not an IDX file"),
    "x.npz": (lambda file: np.savez(file, a=IMAGES, b=IMAGES), r"holds a, b; name the images"),
    "gone.npy": (lambda file: None, r"there is no file"),
    "a.tif": (Path.touch, r"is not a folder of PNG or JPEG files, \.npy, \.npz or IDX"),
}


@pytest.mark.parametrize("name", [*BESIDE, *ARRAY, *PICTURE, *FILE])
def test_a_fault_of_the_images_is_named(name: str, tmp_path: Path) -> None:
    path, settings = tmp_path / "x.npy", dict[str, str]()
    if name in BESIDE:
        array, key, other, message = BESIDE[name]
        np.save(path, array)
        np.save(tmp_path / "t.npy", other)
        settings[key] = str(tmp_path / "t.npy")
    elif name in ARRAY:
        array, message = ARRAY[name]
        np.save(path, array, allow_pickle=True)
    elif name in PICTURE:
        change, message = PICTURE[name]
        path = write_pictures(tmp_path / "pictures", IMAGES)
        change(path / "007.png")
    else:
        make, message = FILE[name]
        path = tmp_path / name
        make(path)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        read(path, **settings)
    assert "Delete the file" not in str(raised.value)


NAMES = [f"{number:03d}.png" for number in range(N)]
WORDS = [f"kind {label}" for label in LABELS]
SHUFFLED = np.random.default_rng(1).permutation(N)
TABLES = {
    "names": "filename,label\n" + "".join(f"{NAMES[i]},{WORDS[i]}\n" for i in SHUFFLED),
    "no header": "".join(f"{NAMES[i]},{WORDS[i]}\n" for i in SHUFFLED),
    "stems": "id,label\n" + "".join(f"{i:03d},{WORDS[i]}\n" for i in SHUFFLED),
    "paths": "path,label\n" + "".join(f"flat/{NAMES[i]},{WORDS[i]}\n" for i in SHUFFLED),
    "label first": "label,file\n" + "".join(f"{WORDS[i]},{NAMES[i]}\n" for i in SHUFFLED),
    "more": "file,label,x\n" + "".join(f"{NAMES[i]},{WORDS[i]},x\n" for i in SHUFFLED) + "z,z,z",
    "numbers": "id,label\n" + "".join(f"{i},{WORDS[i]}\n" for i in SHUFFLED),
    "numbers from 1": ",label\n" + "".join(f"{i + 1},{WORDS[i]}\n" for i in SHUFFLED),
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_labels_belong_to_the_files_that_a_table_names(table: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(TABLES[table])
    of_array = table.startswith("numbers")
    source = tmp_path / "x.npy" if of_array else write_pictures(tmp_path / "flat", IMAGES)
    if of_array:
        np.save(source, IMAGES)
    found = samples(read(source, labels=str(tmp_path / "labels.csv")))
    assert [found[row][1] for row in range(N)] == WORDS


ARRAYS = {
    "one-hot": {"images": IMAGES, "labels": np.eye(13)[LABELS]},
    "column": {"images": IMAGES, "labels": LABELS[:, None]},
    "floats": {"images": IMAGES, "labels": LABELS.astype(float)},
    "bytes": {"images": IMAGES, "labels": LABELS.astype("S2")},
    "two unnamed": {"arr_0": IMAGES, "arr_1": LABELS},
}


@pytest.mark.parametrize("case", ARRAYS)
def test_labels_of_an_npz_in_any_form(case: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS[case])
    found = samples(read(tmp_path / "a.npz"))
    assert [found[row][1] for row in range(N)] == [str(label) for label in LABELS]


def test_hidden_files_are_no_pictures_and_other_endings_are(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", IMAGES, LABELS)
    for hidden in (".ipynb_checkpoints", "__MACOSX"):
        (folder / hidden).mkdir()
        (folder / hidden / "._000.png").write_bytes(b"\0\5")
    (folder / "class 00" / "._000.png").write_bytes(b"\0\5")
    (folder / "class 00" / "000.png").unlink()
    Image.fromarray(IMAGES[0]).save(folder / "class 00" / "000.bmp")
    data = read(folder)
    assert len(data.spec.class_names) == 13
    assert len(samples(data)) == N


def test_grey_and_colour_splits_are_colour_together(tmp_path: Path) -> None:
    write_pictures(tmp_path / "d" / "train", IMAGES)
    write_pictures(tmp_path / "d" / "test", make_images((6, 7, 3)))
    assert read(tmp_path / "d").spec.shape == (3, 6, 7)


def test_a_folder_of_idx_files_with_a_prefix(tmp_path: Path) -> None:
    for split, size in (("test", 12), ("train", N)):
        write_idx(tmp_path / f"emnist-{split}-images-idx3-ubyte", IMAGES[:size])
    parts = read(tmp_path)._splits
    assert {split: len(part.rows) for split, part in parts.items()} == {
        "test": 12, "train": 36, "val": 4,
    }  # fmt: skip
    write_idx(tmp_path / "emnist2-train-images-idx3-ubyte", IMAGES)
    with pytest.raises(ValueError, match=r"several data sets: emnist-train.* and emnist2-train"):
        read(tmp_path)


def test_values_far_below_1_are_scaled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES * 1e-9)
    assert samples(read(tmp_path / "x.npy"))[0][0].max() == 1


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("nested", r"such as .*class 01.deeper; .*name .*class 01"),
        ("beside splits", r"pictures in extra beside the splits test, train"),
        ("several labels", r"labels have the shape \(40, 2\)"),
        ("twice", r"images and x may be the same; choose one"),
        ("cut npz", r"a\.npz cannot be read: it is no archive"),
        ("frames", r"it holds 2 pictures"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(case: str, message: str, tmp_path: Path) -> None:
    pictures = tmp_path / "a"
    if case in ("nested", "frames"):
        write_pictures(pictures, IMAGES, LABELS if case == "nested" else None)
    if case == "nested":
        (pictures / "class 01").rename(tmp_path / "deeper")
        (pictures / "class 01").mkdir()
        (tmp_path / "deeper").rename(pictures / "class 01" / "deeper")
    elif case == "beside splits":
        for name in ("train", "test", "extra"):
            write_pictures(pictures / name, IMAGES)
    elif case == "frames":
        first, second = (Image.fromarray(image) for image in IMAGES[:2])
        first.save(pictures / "z.gif", save_all=True, append_images=[second])
    elif case in ("several labels", "twice", "cut npz"):
        pictures = tmp_path / "a.npz"
        other = {"labels": np.ones((N, 2), int)} if case == "several labels" else {"x": IMAGES}
        np.savez(pictures, images=IMAGES, **other)
        if case == "cut npz":
            pictures.write_bytes(pictures.read_bytes()[:200])
    with pytest.raises(ValueError, match=message):
        read(pictures)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (["a.png", "b.png"], None, r"images are texts, such as 'a\.png'"),
        (IMAGES, "type", r"labels are 'type'; give an array"),
        (IMAGES, {"a": 1}, r"labels hold Python objects \(dict\)"),
    ],
)
def test_what_python_gives_wrongly_is_refused(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageDataModule.take(images, labels)


def test_labels_by_place_are_told_where_names_count_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(12):
        Image.fromarray(IMAGES[number]).save(tmp_path / f"{number}.png")
    np.save(tmp_path / "y.npy", LABELS[:12] - 1)
    caplog.set_level("INFO", "mixvae")
    read(tmp_path, labels=str(tmp_path / "y.npy"))
    assert "in the order 0.png, 1.png, 10.png, 11.png" in caplog.text
    assert "1 of 12 images have no label" in caplog.text
