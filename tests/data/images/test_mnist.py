import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mixvae.data import FetchError, MNISTDataModule
from mixvae.data.images import mnist as mnist_module
from mixvae.data.images.mnist import OFFICIAL_FILES
from tests.data.conftest import collect, set_up

NOBODY = ("http://127.0.0.1:9/", "http://127.0.0.1:9/other/")
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (file.name for file in OFFICIAL_FILES)


def make_data(root: Path, **options: object) -> MNISTDataModule:
    """Return the module for small files; no test of this room may reach the network."""
    defaults = {"seed": 0, "batch_size": 4, "checksum": False, "mirrors": NOBODY, "timeout": 2.0}
    return MNISTDataModule(root=root, **{**defaults, **options})


# --- what is read ---


def test_official_sets_stay_apart_and_rows_are_those_of_the_files(write_small_mnist):
    small = write_small_mnist()
    data = set_up(make_data(small.root))
    train, val, test = (collect(data.eval_dataloader(s)) for s in ("train", "val", "test"))
    assert (len(train.x), len(val.x), len(test.x)) == (36, 4, 12)
    assert torch.cat([train.index, val.index]).sort().values.tolist() == list(range(40))
    assert test.index.tolist() == list(range(12))
    for batch, images, labels in (
        (train, TRAIN_IMAGES, TRAIN_LABELS),
        (val, TRAIN_IMAGES, TRAIN_LABELS),
        (test, TEST_IMAGES, TEST_LABELS),
    ):
        pixels = small.arrays[images][batch.index].astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(batch.x.numpy(), pixels[:, None])
        np.testing.assert_array_equal(batch.label, small.arrays[labels][batch.index])


def test_validation_follows_the_seed_and_test_does_not(write_small_mnist):
    root = write_small_mnist().root
    rows = {}
    for seed in (0, 0, 1):
        data = set_up(make_data(root, seed=seed))
        new = [collect(data.eval_dataloader(split)).index.tolist() for split in ("val", "test")]
        assert rows.setdefault(seed, new) == new
    assert rows[0][0] != rows[1][0]
    assert rows[0][1] == rows[1][1]


def test_train_samples_takes_a_subset_drawn_by_the_seed(write_small_mnist):
    root = write_small_mnist().root
    rows = []
    for seed in (0, 1):
        data = set_up(make_data(root, train_samples=20, seed=seed))
        train, val, test = (
            collect(data.eval_dataloader(split)).index.tolist()
            for split in ("train", "val", "test")
        )
        assert (len(train), len(val), len(test)) == (18, 2, 12)
        assert not set(train) & set(val)
        rows.append(sorted(train + val))
    assert rows[0] != rows[1]
    assert set_up(make_data(root, train_samples=40)).eval_dataloader("train")
    with pytest.raises(ValueError, match="train_samples is 41 but the training set has 40"):
        set_up(make_data(root, train_samples=41))


def test_the_files_are_read_once(write_small_mnist, monkeypatch):
    data = set_up(make_data(write_small_mnist().root))
    monkeypatch.setattr(mnist_module, "read_official_idx", None)
    for stage in ("validate", "test", "predict", None):
        data.setup(stage)


# --- files that are not as they should be ---


def test_files_that_are_not_the_official_ones_fail_the_checksum(write_small_mnist):
    small = write_small_mnist()
    expected = "6bbc9ace898e44ae57da46a324031adb"
    with pytest.raises(
        ValueError, match=f"{TRAIN_IMAGES} is not the official file: .* md5 {expected}, found "
    ):
        set_up(make_data(small.root, checksum=True))


def test_labels_and_images_of_different_lengths_are_refused(write_small_mnist):
    small = write_small_mnist()
    path = small.raw / TEST_LABELS
    os.replace(small.raw / TRAIN_LABELS, path)
    path.with_name(TRAIN_LABELS).write_bytes(path.read_bytes())
    with pytest.raises(
        ValueError, match=f"{TEST_IMAGES} holds 12 images but .*{TEST_LABELS} holds 40"
    ):
        set_up(make_data(small.root))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            TEST_IMAGES,
            np.zeros((12, 8, 8), np.uint8),
            r"holds images of \(8, 8\) pixels; expected \(28, 28\)",
        ),
        (TEST_LABELS, np.full(12, 10, np.uint8), r"holds the label 10; labels must lie in 0\.\.9"),
        (TEST_IMAGES, np.zeros((0, 28, 28), np.uint8), "holds 0 images but"),
    ],
)
def test_content_that_is_no_mnist_is_refused(write_small_mnist, small_arrays, name, array, message):
    small_arrays[name] = array
    with pytest.raises(ValueError, match=message):
        set_up(make_data(write_small_mnist().root))


# --- files that are not there ---


def test_absent_files_are_downloaded_from_the_first_mirror_that_works(
    tmp_path, write_small_mnist, start_mirror
):
    write_small_mnist("server", packed=True, layout=".")
    mirror = start_mirror("server")
    data = make_data(tmp_path / "root", mirrors=(NOBODY[0], mirror.address))
    set_up(data)
    folder = tmp_path / "root" / "MNIST" / "raw"
    assert sorted(os.listdir(folder)) == sorted(f"{file.name}.gz" for file in OFFICIAL_FILES)
    assert len(mirror.asked) == 4
    set_up(make_data(tmp_path / "root"))  # a second run asks nobody
    direct = set_up(make_data(write_small_mnist("direct").root))
    assert torch.equal(next(iter(data.val_dataloader())).x, next(iter(direct.val_dataloader())).x)


def test_only_missing_files_are_downloaded(write_small_mnist, start_mirror):
    write_small_mnist("server", packed=True, layout=".")
    mirror = start_mirror("server")
    small = write_small_mnist()
    (small.raw / TEST_LABELS).unlink()
    set_up(make_data(small.root, mirrors=[mirror.address]))
    assert mirror.asked == [f"/{TEST_LABELS}.gz"]


def test_when_no_mirror_works_one_error_says_what_to_do(tmp_path):
    root = tmp_path / "root"
    with pytest.raises(FetchError) as caught:
        make_data(root).prepare_data()
    message = str(caught.value)
    for file in OFFICIAL_FILES:
        assert f"{root}/MNIST/raw/{file.name} or {file.name}.gz" in message
    for address in NOBODY:
        assert f"{address}{TRAIN_IMAGES}.gz: ConnectionError: " in message
    assert "python -m mixvae.train +experiment=digits_cpl" in message
    assert not root.exists()


def test_without_download_the_network_is_not_asked(tmp_path, start_mirror):
    mirror = start_mirror("server")
    with pytest.raises(FetchError, match=r"switched off \(data\.download=false\)") as caught:
        make_data(tmp_path / "root", download=False, mirrors=[mirror.address]).prepare_data()
    assert "+experiment=digits_cpl" in str(caught.value)
    assert mirror.asked == []


def test_setup_without_prepare_data_says_so(tmp_path):
    with pytest.raises(FetchError, match=r"prepare_data\(\) was not called"):
        make_data(tmp_path / "root").setup("fit")


def test_a_root_that_is_not_writable_will_do_where_the_files_are(write_small_mnist, monkeypatch):
    monkeypatch.setattr("mixvae.data.fetch.os.access", lambda *_: False)
    set_up(make_data(write_small_mnist().root))


# --- the real files ---


@pytest.mark.realdata
def test_the_real_mnist_has_its_known_counts_and_labels(real_mnist_root):
    data = set_up(make_data(real_mnist_root, checksum=True, download=False, batch_size=250))
    train, val, test = (collect(data.eval_dataloader(s)) for s in ("train", "val", "test"))
    assert (len(train.x), len(val.x), len(test.x)) == (54_000, 6_000, 10_000)
    both = torch.cat([train.index, val.index])
    assert torch.equal(both.sort().values, torch.arange(60_000))
    # label counts of the official files, which the splits must not mix
    assert torch.cat([train.label, val.label]).bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert test.label.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    # the mean and deviation that everybody normalises the training set by
    pixels = torch.cat([train.x, val.x])
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.double().std().item() == pytest.approx(0.3081, abs=5e-5)
    assert len(data.train_dataloader()) == 216


def test_raw_is_preferred_where_both_are_there(write_small_mnist):
    small = write_small_mnist()
    (small.raw / f"{TRAIN_IMAGES}.gz").write_bytes(b"never read")
    set_up(make_data(small.root))
