"""`data.split_seed` draws the test samples of every data set in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from mixvae.data import (
    DigitsDataModule,
    HippocampusDataModule,
    ImageDataModule,
    MNISTDataModule,
    MultimodalDataModule,
    RatSimulator,
    RenderedDSpritesDataModule,
    SyntheticCellsDataModule,
)
from mixvae.data.base import AbstractResidentDataModule, SplitRows, check_every_class
from mixvae.data.resident import ResidentTensors

Make = Callable[..., AbstractResidentDataModule]
LABEL = np.arange(60) % 3


@pytest.fixture
def makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Make]:
    """Constructors of small data sets by name."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    np.save("images.npy", random.integers(0, 256, (60, 8, 8), dtype=np.uint8))
    np.save("y.npy", LABEL)
    for name in "ab":
        np.save(f"{name}.npy", random.normal(size=(60, 3)))
    modalities = {"a": "a.npy", "b": "b.npy"}
    simulator = RatSimulator(num_trials=60, num_bins=280)
    subset = {"shape": 1, "scale": [0], "orientation": 20, "x": 8, "y": 8}
    return {
        "digits": DigitsDataModule,
        "images": lambda **o: ImageDataModule(path="images.npy", labels="y.npy", **o),
        "cells": lambda **o: SyntheticCellsDataModule(
            num_cells=90, num_genes=150, num_types=3, **o
        ),
        "sprites": lambda **o: RenderedDSpritesDataModule(subset=subset, root=str(tmp_path), **o),
        "arrays": lambda **o: MultimodalDataModule(modalities=modalities, labels="y.npy", **o),
        "rats": lambda **o: HippocampusDataModule(
            rats=["stella", "superchris"], simulator=simulator, **o
        ),
    }


def outcome(data: AbstractResidentDataModule) -> tuple[tuple[int, ...], set[int], set[int]]:
    """Rows and classes of the test samples, rows that validate; no split shares a row."""
    data.setup()
    rows = {}
    for split in ("train", "val", "test"):
        batches = list(data.eval_dataloader(split))
        found = [batch.rows[:, 0] if hasattr(batch, "rows") else batch.index for batch in batches]
        rows[split] = set(torch.cat(found).tolist())
        label = torch.cat([batch.label for batch in batches])
    assert not rows["test"] & (rows["train"] | rows["val"])
    assert not rows["train"] & rows["val"]
    return tuple(sorted(rows["test"])), set(label.tolist()), rows["val"]


@pytest.mark.parametrize("name", ["digits", "images", "cells", "sprites", "arrays", "rats"])
def test_a_split_seed_draws_other_test_samples_whatever_the_seed(name, makes):
    make = makes[name]
    first, again, other = (
        outcome(make(seed=seed, split_seed=split_seed, batch_size=10))
        for seed, split_seed in ((0, 3), (1, 3), (0, 4))
    )
    assert first[:2] == again[:2]
    assert first[2] != again[2] or name in ("arrays", "rats")  # whose split seed draws both
    assert first[0] != other[0]
    assert len(first[1]) == (10 if name == "digits" else 4 if name == "rats" else 3)


@pytest.mark.parametrize("name", ["images", "cells", "arrays", "rats"])
def test_without_one_the_split_is_that_of_0_or_of_the_seed(name, makes):
    by_seed = name in ("arrays", "rats")
    plain = outcome(makes[name](seed=2, batch_size=10))
    assert plain == outcome(makes[name](seed=2, split_seed=2 if by_seed else 0, batch_size=10))


def splits(**labels: Iterable[int]) -> dict[str, SplitRows]:
    label = torch.tensor([k for part in labels.values() for k in part])
    tensors = ResidentTensors(torch.zeros(len(label), 1), label)
    parts = torch.arange(len(label)).split([len(list(part)) for part in labels.values()])
    return {name: SplitRows(tensors, rows) for name, rows in zip(labels, parts, strict=True)}


def test_a_split_that_leaves_a_class_out_names_the_class_the_part_and_the_seed():
    check_every_class(splits(train=[0, 1, -1], val=[0], test=[0, 1]), "ab", 7)
    # two samples cannot be in three splits
    check_every_class(splits(train=[0, 1, 1], val=[0], test=[0]), "ab", 7)
    message = "data.split_seed=7 leaves the class 'b', which 3 of 6 samples have, out of the"
    with pytest.raises(ValueError, match=f"{message} test split; choose another split_seed"):
        check_every_class(splits(train=[0, 1, 1], val=[1, 0], test=[0]), "ab", 7)
    with pytest.raises(ValueError, match=f"{message} train split"):
        check_every_class(splits(train=[0], val=[1, 0], test=[0, 1, 1]), "ab", 7)


def test_a_given_split_seed_is_checked_and_the_default_one_is_not(makes):
    np.save("y.npy", np.where(np.arange(60) < 3, 1, 0))
    makes["images"](seed=0).setup()
    with pytest.raises(ValueError, match=r"data\.split_seed=2 leaves the class '1'"):
        makes["images"](seed=0, split_seed=2).setup()


def test_it_is_refused_where_the_data_have_a_test_set_of_their_own(tmp_path):
    message = "data.split_seed=1 draws test samples, but {} has a test set of its own"
    with pytest.raises(ValueError, match=message.format("MNIST")):
        MNISTDataModule(seed=0, split_seed=1)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x_train=images, x_test=images[:9])
    with pytest.raises(ValueError, match=message.format(".*own.npz")):
        ImageDataModule(seed=0, path=str(tmp_path / "own.npz"), split_seed=1).setup()
