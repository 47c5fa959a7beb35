"""A user's own images: all forms hold the same images, baselines are scored, all are listed."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

from experiments import images_own
from experiments.images_own import FORMS, Labelled
from mixvae.data.images.image_files import Layout, read_images


def few(num: int = 40) -> Labelled:
    random = np.random.default_rng(0)
    label = np.arange(num) % 2
    images = random.integers(0, 60, (num, 8, 8), dtype=np.uint8)
    images[label == 0, :4] += 190
    images[label == 1, 4:] += 190
    return Labelled(images, label)


def test_each_form_holds_the_same_images_and_labels(tmp_path: Path) -> None:
    data = few()
    found = []
    for form in FORMS:
        named = dict(line.split("=", 1) for line in images_own.write(data, form, tmp_path))
        part = read_images(named["data.path"], named.get("data.labels"), Layout())["train"]
        labels = np.asarray(part.labels).astype(int)
        # Pictures come class by class.
        order = np.argsort(labels, kind="stable")
        found.append((part.pixels[order], labels[order]))
    for pixels, labels in found[1:]:
        assert np.array_equal(pixels, found[0][0])
        assert np.array_equal(labels, found[0][1])


def test_halves_are_told_apart_by_k_means_on_the_images_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = few()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # UMAP compiles for a minute
    assert len(images_own.tested_rows(data)) == 8
    scores = images_own.baselines(data, 0)
    assert scores["k-means"] == {"accuracy": 1.0, "nmi": pytest.approx(1.0)}


def test_mnist_is_read_from_its_test_files(tmp_path: Path) -> None:
    data, folder = few(), tmp_path / "raw"
    folder.mkdir()
    for name, array in (("images-idx3", data.images), ("labels-idx1", data.labels)):
        header = struct.pack(f">I{array.ndim}I", 0x800 | array.ndim, *array.shape)
        (folder / f"t10k-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    read = images_own.mnist(tmp_path)
    assert np.array_equal(read.images, data.images)
    assert np.array_equal(read.labels, data.labels)
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte"):
        images_own.mnist(tmp_path / "none")


def test_the_letters_are_ten_classes_of_one_size() -> None:
    found = images_own.letters(Path())
    assert found.images.shape[1:] == (28, 28)
    assert len(set(np.bincount(found.labels))) == 1
    assert found.images.reshape(len(found.images), -1).max(axis=1).min() > 0


def test_a_row_for_each_set_and_method() -> None:
    one = {"accuracy": 0.5, "nmi": 0.6}
    text = images_own.tabulate(
        {"a (9)": {"images_cpl, npy": {0: {**one, "consensus": 0.9, "seconds": 60.0}},
                   "k-means": {0: one, 1: {**one, "accuracy": 0.7}}}}
    )  # fmt: skip
    assert "| a (9) | images_cpl, npy | 0.500 | 0.600 | 0.900 | 60 |" in text
    assert "| a (9) | k-means | 0.600 ± 0.141 | 0.600 ± 0.000 |  |  |" in text
