"""The two data modules: the official file and the images drawn by ourselves."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mixvae.data import DSpritesDataModule, FetchError, RenderedDSpritesDataModule
from mixvae.data.images import dsprites_file as official
from mixvae.data.images.dsprites import FACTOR_SIZES, PackedImages, grid, kept_values
from mixvae.data.images.dsprites_rendered import render
from tests.data.conftest import collect

SUBSET = {"scale": [0, 5], "orientation": 8, "x": 8, "y": 8}  # 3 x 2 x 5 x 4 x 4 = 480


def rendered(root: Path, **settings: object) -> RenderedDSpritesDataModule:
    given = {"seed": 0, "batch_size": 50, "subset": SUBSET, **settings}
    data = RenderedDSpritesDataModule(root=root, **given)
    data.prepare_data()
    data.setup()
    return data


def test_the_whole_grid_counts_up_with_y_fastest():
    images = grid(kept_values({}))
    assert len(images.rows) == np.prod(list(FACTOR_SIZES.values())) == 737_280
    assert np.array_equal(images.rows, np.arange(737_280))
    assert images.factors[[0, 1, 32, 1024, 40 * 1024, -1]].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [2, 5, 39, 31, 31],
    ]


def test_a_subset_is_cut_from_the_whole_grid():
    whole = grid(kept_values({}))
    subset = {"shape": [2, 0], "scale": 2, "orientation": [39], "x": 16, "y": 31}
    images = grid(kept_values(subset))
    assert images.values == ((0, 2), (0, 2, 4), (39,), (0, 16), (0, 31))
    original = whole.factors[images.rows]
    assert len(images.rows) == 2 * 3 * 1 * 2 * 2
    for column, kept in enumerate(images.values):
        assert np.array_equal(original[:, column], np.array(kept)[images.factors[:, column]])
    assert (np.diff(images.rows) > 0).all()


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ({"colour": 1}, "the unknown factor 'colour'; dSprites has shape, scale"),
        ({"orientation": []}, "subset.orientation is empty, so the subset leaves no image"),
        ({"x": 0}, "subset.x is 0; it must be 1 or more"),
        ({"x": -2}, "subset.x is -2"),
        ({"shape": [0, 3]}, r"subset.shape holds 3; the values of shape are 0\.\.2"),
        ({"shape": [-1]}, "subset.shape holds -1"),
        ({"shape": ["heart"]}, "subset.shape holds 'heart'"),
        ({"scale": 1.5}, "subset.scale is 1.5; it must be a whole number n"),
        ({"scale": "all"}, "subset.scale is 'all'"),
        ({"scale": True}, "subset.scale is True"),
        ({"scale": None}, "subset.scale is None"),
    ],
)
def test_a_subset_that_makes_no_sense_is_refused(subset, message):
    with pytest.raises(ValueError, match=message):
        kept_values(subset)


def test_a_batch_is_what_was_packed():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 2, (9, 1, 8, 16), dtype=np.uint8)
    packed = torch.from_numpy(np.packbits(pixels.reshape(9, -1), axis=1))
    label, rows = torch.arange(9) % 3, torch.arange(9) * 10
    factors = torch.stack([label, rows], dim=1)
    images = PackedImages(packed, (1, 8, 16), label, factors, rows)
    chosen = torch.tensor([7, 0, 7])
    for tensors in (images, images.to(torch.device("cpu")), images.at_epoch(3)):
        batch = tensors.batch(chosen)
        assert batch.x.dtype == torch.float32
        assert torch.equal(batch.x, torch.from_numpy(pixels)[chosen].float())
        assert batch.label.tolist() == [1, 0, 1]
        assert batch.index.tolist() == [70, 0, 70]
        assert torch.equal(batch.factors, factors[chosen])
        assert batch.counts is None


def test_spec_is_known_before_set_up():
    spec = RenderedDSpritesDataModule(seed=0, subset={**SUBSET, "shape": [0, 2]}).spec
    assert (spec.name, spec.shape, spec.is_image) == ("dsprites_rendered", (1, 64, 64), True)
    assert (spec.num_classes, spec.class_names) == (2, ("square", "heart"))
    assert spec.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert spec.factor_sizes == (2, 2, 5, 4, 4)
    spec = DSpritesDataModule(seed=0, label_factor="scale", subset={"scale": 3}).spec
    assert (spec.num_classes, spec.class_names) == (2, ("0", "3"))


def test_splits_are_disjoint_and_cover_the_grid(tmp_path):
    data = rendered(tmp_path)
    parts = [collect(data.eval_dataloader(split)).index for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [389, 43, 48]
    assert np.array_equal(torch.cat(parts).sort().values, grid(kept_values(SUBSET)).rows)


def test_images_factors_and_labels_belong_together(tmp_path):
    data = rendered(tmp_path, label_factor="x")
    images = grid(kept_values(SUBSET))
    pixels = np.unpackbits(render(images), axis=1).reshape(-1, 1, 64, 64)
    for split in ("train", "val", "test"):
        batch = collect(data.eval_dataloader(split))
        position = np.searchsorted(images.rows, batch.index.numpy())
        assert np.array_equal(batch.x, pixels[position])
        assert np.array_equal(batch.factors, images.factors[position])
        assert torch.equal(batch.label, batch.factors[:, 3])
        assert batch.factors.dtype == batch.label.dtype == batch.index.dtype == torch.int64


def test_drawn_images_are_kept_and_read_again(tmp_path, monkeypatch):
    first = collect(rendered(tmp_path).test_dataloader())
    (kept,) = (tmp_path / "dsprites").iterdir()
    assert kept.name.startswith("rendered_3x2x5x4x4_")

    def refuse(images: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr("mixvae.data.images.dsprites_rendered.render", refuse)
    assert torch.equal(collect(rendered(tmp_path).test_dataloader()).x, first.x)
    with pytest.raises(AssertionError, match="drawn again"):
        rendered(tmp_path, subset={**SUBSET, "shape": [1, 2]})


@pytest.mark.parametrize("content", [b"", b"no npz", "half"])
def test_a_damaged_kept_file_is_drawn_afresh(tmp_path, content, caplog):
    first = collect(rendered(tmp_path).test_dataloader())
    (kept,) = (tmp_path / "dsprites").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    assert torch.equal(collect(rendered(tmp_path).test_dataloader()).x, first.x)
    assert f"{kept} cannot be read" in caplog.text
    assert len(list((tmp_path / "dsprites").iterdir())) == 1
    assert np.load(kept)["packed"].shape == (480, 512)


def test_a_stop_while_drawings_are_written_leaves_nothing(tmp_path, monkeypatch):
    def stop(*given: object, **arrays: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", stop)
    with pytest.raises(KeyboardInterrupt):
        rendered(tmp_path)
    assert not list((tmp_path / "dsprites").iterdir())


def test_images_are_drawn_where_they_could_not_be_kept(tmp_path, monkeypatch):
    def refuse(*given: object, **arrays: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(np, "savez_compressed", refuse)
    assert len(collect(rendered(tmp_path).test_dataloader()).x) == 48
    assert not list((tmp_path / "dsprites").iterdir())


def test_a_subset_too_small_to_be_split_or_trained_on_is_refused(tmp_path):
    two = {"shape": [0, 1], "scale": [0], "orientation": [0], "x": [0], "y": [0]}
    with pytest.raises(ValueError, match="each part needs at least one"):
        rendered(tmp_path, subset=two)
    with pytest.raises(ValueError, match="batch_size is 400 but the training set of dsprites_rend"):
        rendered(tmp_path, batch_size=400)


def test_the_official_file_is_found_and_checked(tmp_path, monkeypatch):
    asked = []

    def read(path: Path, images: object, md5: str | None) -> np.ndarray:
        asked.append((path, md5))
        return render(images)

    monkeypatch.setattr(official, "read_dsprites", read)
    path = tmp_path / "dsprites" / official.FILE
    path.parent.mkdir()
    path.write_bytes(b"")
    for checksum in (True, False):
        data = DSpritesDataModule(
            seed=0, root=tmp_path, subset=SUBSET, batch_size=50, checksum=checksum
        )
        data.prepare_data()
        data.setup()
        ours = collect(rendered(tmp_path).test_dataloader())
        assert torch.equal(collect(data.test_dataloader()).x, ours.x)
    assert asked == [(path, "7da33b31b13a06f4b04a70402ce90c2e"), (path, None)]


def test_another_file_under_the_official_name_is_refused(tmp_path):
    path = tmp_path / "dsprites" / official.FILE
    path.parent.mkdir()
    np.savez(path, imgs=np.zeros(3))
    data = DSpritesDataModule(seed=0, root=tmp_path)
    data.prepare_data()
    with pytest.raises(ValueError, match="is not the official file: expected md5 7da33b31"):
        data.setup()
    data = DSpritesDataModule(seed=0, root=tmp_path, checksum=False)
    with pytest.raises(ValueError, match="has no array 'latents_classes'"):
        data.setup()


def test_a_missing_file_says_where_it_belongs_and_what_runs_without_it(tmp_path):
    for settings, reason in (
        ({"download": False}, "data.download=false"),
        ({"mirrors": ()}, "no mirror is configured"),
    ):
        data = DSpritesDataModule(seed=0, root=tmp_path, **settings)
        with pytest.raises(FetchError, match=reason) as caught:
            data.prepare_data()
        assert str(tmp_path / "dsprites" / official.FILE) in str(caught.value)
        assert "data=dsprites_rendered" in str(caught.value)
