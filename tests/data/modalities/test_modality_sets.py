"""Data sets of several modalities: glyphs and names, CITE-seq, PolyMNIST."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixvae.data.modalities.base import MultimodalState
from mixvae.data.modalities.cite import CiteDataModule, simulate_cite
from mixvae.data.modalities.glyphs import GlyphsDataModule, draw_glyphs
from mixvae.data.modalities.polymnist import PolyMNISTDataModule
from mixvae.data.modalities.polymnist_views import compose_views, synthetic_pictures


def test_glyphs_are_drawn_beside_their_names() -> None:
    data = GlyphsDataModule(seed=0, max_glyphs=400, batch_size=50)
    data.setup()
    image, name = data.spec.modalities
    assert (image.shape, image.kind, name.kind) == ((1, 28, 28), "image", "tokens")
    assert "LATIN" in data.spec.class_names
    batch = next(iter(data.eval_dataloader("train")))
    form = MultimodalState.from_plain(data.state_dict()).form("name")
    texts = form.decoded(batch.x[1].numpy())
    for text, label in zip(texts, batch.label, strict=True):
        if label >= 0:
            assert text.split()[0] == data.spec.class_names[label]
    assert 0.02 < float(batch.x[0].mean()) < 0.5


def test_a_letter_looks_like_itself() -> None:
    images = draw_glyphs([ord("I"), ord("O"), ord(" ")], 28)[:, 0]
    assert images[0, 14, 14] > 200  # a stroke in the middle
    assert images[1, 14, 14] == 0  # a hole in the middle
    assert images[1].max() == 255
    assert images[2].max() == 0


def test_simulated_cells_have_counts_and_ratios() -> None:
    rna, protein, types = simulate_cite(0)
    assert (rna >= 0).all()
    assert (rna == rna.round()).all()
    np.testing.assert_allclose(protein.mean(axis=1), 0, atol=1e-5)
    assert len(set(types)) == 6
    data = CiteDataModule(seed=0)
    data.setup()
    assert [item.kind for item in data.spec.modalities] == ["counts", "vector"]
    assert data.spec.num_classes == 6
    train = next(iter(data.eval_dataloader("train")))
    assert abs(float(train.x[1].std()) - 1) < 0.05


def test_cells_of_a_file_are_read_by_their_keys(tmp_path: Path) -> None:
    import anndata
    import pandas as pd

    rna, protein, types = (part[:100] for part in simulate_cite(0))
    cells = anndata.AnnData(
        rna,
        obs=pd.DataFrame({"kind": pd.Categorical(types)}, index=[f"cell{i}" for i in range(100)]),
    )
    cells.obsm["adt"] = protein
    cells.write_h5ad(tmp_path / "cells.h5ad")
    options = {"path": str(tmp_path / "cells.h5ad"), "protein": "obsm/adt", "batch_size": 8}
    data = CiteDataModule(seed=0, label="obs/kind", **options)
    data.setup()
    assert data.spec.class_names == tuple(sorted(set(types)))
    batch = next(iter(data.eval_dataloader("test")))
    rows = data.event_rows("test")[batch.index.numpy()]
    np.testing.assert_array_equal(batch.x[0], rna[rows])
    with pytest.raises(ValueError, match=r"holds no 'obsm/protein'; it has X, obsm/adt, obs/"):
        CiteDataModule(seed=0, label=None, **{**options, "protein": "obsm/protein"}).setup()
    with pytest.raises(FileNotFoundError, match=r"no file gone.h5ad, which data.path names"):
        CiteDataModule(seed=0, path="gone.h5ad")


def test_views_show_one_digit_each_on_its_picture() -> None:
    images = np.zeros((40, 28, 28), dtype=np.uint8)
    label = np.arange(40) % 2
    images[label == 1, 8:20, 8:20] = 255
    pictures = [np.full((40, 40, 3), value, dtype=np.uint8) for value in (30, 90)]
    views = compose_views(images, label, pictures, 0)
    for view, value in zip(views.views, (30, 90), strict=True):
        assert view.shape == (40, 3, 28, 28)
        assert (view[label == 0] == value).all()
        shown = (view[label == 1] == 255 - value).sum(axis=(1, 2, 3)) / 3
        assert ((shown >= 60) & (shown <= 110)).all()  # 9 x 9 pixels at 21 / 28
    plain = compose_views(images, label, pictures, 0, digit_side=28)
    assert (plain.views[0][label == 1, :, 8:20, 8:20] == 255 - 30).all()  # neither shrunk nor moved
    textures = synthetic_pictures(3)
    assert not np.array_equal(textures[0], textures[1])


def write_views(root: Path, parts: dict[str, int], num_views: int = 2) -> None:
    random = np.random.default_rng(0)
    for part, count in parts.items():
        for m in range(num_views):
            folder = root / part / f"m{m}"
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 256, (28, 28, 3), dtype=np.uint8)
                pixels[0, 0] = (i, m, 0)
                Image.fromarray(pixels).save(folder / f"{i}.{i % 10}.png")


def test_the_public_folders_are_read_by_number_and_digit(tmp_path: Path) -> None:
    write_views(tmp_path, {"train": 40, "test": 12})
    data = PolyMNISTDataModule(seed=0, path=str(tmp_path), num_views=2, batch_size=8)
    data.setup()
    batch = next(iter(data.eval_dataloader("test")))
    assert batch.label.tolist() == [i % 10 for i in range(12)]
    for m in range(2):
        numbers = (255 * batch.x[m][:, 0, 0, 0]).round().long()
        torch.testing.assert_close(numbers, torch.arange(12))
    assert [len(data.event_rows(part)) for part in ("train", "val")] == [36, 4]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("test/m1", r"no folder .*test/m1: data.path must hold train/m0, test/m0"),
        ("train/m1/3.3.png", r"differ in their files: 3.3.png is in one of them only"),
    ],
)
def test_a_layout_that_lacks_a_part_is_refused_by_name(
    tmp_path: Path, missing: str, message: str
) -> None:
    write_views(tmp_path, {"train": 10, "test": 10})
    path = tmp_path / missing
    if path.is_dir():
        path.rename(tmp_path / "moved")
    else:
        path.unlink()
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        PolyMNISTDataModule(seed=0, path=str(tmp_path), num_views=2, batch_size=4).setup()


def test_without_mnist_the_digits_take_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mixvae")
    data = PolyMNISTDataModule(seed=0, root=str(tmp_path), train_samples=90, batch_size=9)
    data.setup()
    assert "1,797 digits of 8 x 8 take its place" in caplog.text
    assert [len(data.event_rows(part)) for part in ("train", "val", "test")] == [81, 9, 360]
