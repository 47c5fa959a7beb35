"""What a run in Python offers: records, figures, model, and work on data."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mixvae
from tests.api.conftest import images


def test_the_records_of_a_run(image_run: mixvae.Run) -> None:
    run = mixvae.open_run(str(image_run.folder))
    assert run.folder == image_run.folder
    assert run.config.model.num_agents == 2
    assert run.summary["status"] == "finished"
    metrics = run.metrics
    assert metrics["epoch"].tolist() == [0]
    assert metrics["val/loss"].iloc[0] == run.summary["val/loss"]
    assert "finished" in repr(run)
    assert "test/accuracy" in run._repr_html_()


def test_a_notebook_shows_the_figures(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("learning_curves", "samples"):
        Image.new("L", (3, 2)).save(tmp_path / "figures" / f"{name}.png")
    figures = mixvae.Run(tmp_path).figures
    assert list(figures) == ["learning_curves", "samples"]
    assert figures._repr_html_().count("data:image/png;base64,") == len(figures) == 2
    assert figures["learning_curves"]._repr_png_().startswith(b"\x89PNG")
    assert "samples" in repr(figures)
    with pytest.raises(KeyError, match="learning_curves"):
        figures["gone"]


def test_the_model_is_the_tested_one_in_evaluation_mode(image_run: mixvae.Run) -> None:
    model = image_run.model
    assert not model.training
    assert model is image_run.model
    x, _ = images()
    embedding = image_run.embed(x)
    assert embedding.latent.shape == (60, 11)
    np.testing.assert_allclose(embedding.probs.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(image_run.embed(x, batch_size=7).category, embedding.category)
    assert np.array_equal(image_run.embed(x[..., None]).category, embedding.category)


def test_samples_are_in_the_unit_of_the_images(image_run: mixvae.Run) -> None:
    samples = image_run.sample(5, seed=1)
    assert samples.shape == (5, 1, 6, 6)
    assert 1 < samples.max() <= 255
    assert np.array_equal(samples, image_run.sample(5, seed=1))
    assert not np.array_equal(samples, image_run.sample(5, seed=2))
    assert image_run.sample(1, category=3).shape == (1, 1, 6, 6)
    with pytest.raises(ValueError, match="category is 10; it must be one of 0, 1"):
        image_run.sample(1, category=10)
    with pytest.raises(ValueError, match="n is 0"):
        image_run.sample(0)


def test_evaluating_on_its_own_data_and_on_others(image_run: mixvae.Run) -> None:
    own = image_run.evaluate("trainer.enable_progress_bar=false")
    assert own["test/accuracy"] == image_run.summary["test/accuracy"]
    x, y = images(30)
    other = image_run.evaluate(data=x, labels=y, name="other")
    assert (image_run.folder / "evaluations" / "other" / "evaluation.json").is_file()
    assert other["test/reconstruction"] != own["test/reconstruction"]
    # Without labels, those of the run's own images are left out.
    assert "test/accuracy" not in image_run.evaluate(data=x, name="unlabelled")


def test_a_run_goes_on_with_its_own_data_alone(image_run: mixvae.Run, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(image_run.folder, folder)
    x, y = images()
    run = mixvae.open_run(folder)
    with pytest.raises(ValueError, match="which no file holds; in Python give it again"):
        run.resume(2)
    with pytest.raises(ValueError, match="give the data that it was begun with"):
        run.resume(2, data=x[::-1].copy(), labels=y)
    assert run.resume(2, data=x, labels=y).summary["epochs"] == 2
    with pytest.raises(ValueError, match="finished after 2 epochs"):
        run.resume(data=x, labels=y)


def test_data_that_were_changed_since_are_refused(image_run: mixvae.Run) -> None:
    x, _ = images()
    run = mixvae.Run(image_run.folder, {"python:uint8_60x6x6_000000000000": x})
    with pytest.raises(ValueError, match="changed in memory"):
        run.evaluate()


def test_work_on_other_data_than_the_runs_kind_is_refused(image_run: mixvae.Run) -> None:
    x, _ = images()
    with pytest.raises(ValueError, match=r"5 x 6 pixels.*6 x 6 pixels.*data\.size"):
        image_run.embed(x[:, :5])
    with pytest.raises(ValueError, match=r"0 to 1, but the training images have 0 to 255"):
        image_run.embed(x / 255)
    with pytest.raises(ValueError, match=r"0 to 1, but the training images have 0 to 255"):
        image_run.evaluate(data=x / 255)
    with pytest.raises(ValueError, match=r"in memory, got the path 'x\.npy'"):
        image_run.embed("x.npy")
    with pytest.raises(ValueError, match="are AnnData, not an array"):
        image_run.embed(__import__("anndata").AnnData(np.ones((3, 2))))
    with pytest.raises(ValueError, match="not on cells"):
        image_run.annotate(__import__("anndata").AnnData(np.ones((3, 2))))
    with pytest.raises(ValueError, match="not on several"):
        image_run.impute({"a": x})
    with pytest.raises(ValueError, match="not on cells"):
        image_run.annotate(x)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        mixvae.open_run(tmp_path / "gone")
    with pytest.raises(ValueError, match="no run folder"):
        mixvae.open_run(tmp_path)
