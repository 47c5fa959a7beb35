"""The files hold what the model infers of each sample once, beside what is known of it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from mixvae.callbacks.multimodal_predictions import MultimodalPredictions

NAMES = ("left", "right", "middle")


def run(folder: Path, quiet_trainer, model, data, **options) -> None:
    trainer = quiet_trainer(callbacks=[MultimodalPredictions(str(folder), **options)])
    trainer.test(model, datamodule=data, verbose=False)


def test_arrays_are_those_of_the_model(
    tmp_path: Path, quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    model, data = make_multimodal(has_joint=True), make_multimodal_data(missing=True)
    run(tmp_path, quiet_trainer, model, data)
    whole = data.splits["test"]
    posterior = model.infer(whole.x, whole.present)
    with np.load(tmp_path / "predictions.npz") as arrays:
        np.testing.assert_array_equal(arrays["events/rows"], whole.rows)
        np.testing.assert_array_equal(arrays["events/row"], 500 + np.arange(36))
        np.testing.assert_array_equal(arrays["joint/row"], 500 + np.arange(36))
        assert arrays["class_names"].tolist() == ["class 0", "class 1", "class 2"]
        np.testing.assert_array_equal(arrays["joint/label"], whole.label)
        joint = posterior.joint_mean.detach().numpy()
        np.testing.assert_allclose(arrays["joint/mean"], joint, rtol=1e-4, atol=1e-6)
        for m, name in enumerate(NAMES):
            rows = arrays[f"{name}/row"]
            np.testing.assert_array_equal(rows, np.unique(whole.rows[whole.present[:, m], m]))
            np.testing.assert_array_equal(arrays[f"{name}/trial"], rows // 2)
            event = [int(np.flatnonzero(whole.rows[:, m] == row)[0]) for row in rows]
            np.testing.assert_array_equal(arrays[f"{name}/label"], whole.label[event])
            for kind in ("mean", "logvar"):
                expected = getattr(posterior, kind)[m, event].detach().numpy()
                found = arrays[f"{name}/{kind}"]
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_table_says_what_the_arrays_say(
    tmp_path: Path, quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    run(tmp_path, quiet_trainer, make_multimodal(latent_dim=3), make_multimodal_data())
    with (tmp_path / "predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0])[:5] == ["modality", "row", "trial", "window", "label"]
    with np.load(tmp_path / "predictions.npz") as arrays:
        assert "joint/mean" not in arrays
        assert len(lines) == sum(len(arrays[f"{name}/row"]) for name in NAMES)
        for name in NAMES:
            own = [line for line in lines if line["modality"] == name]
            for n, line in enumerate(own):
                for column in ("row", "trial", "window", "label"):
                    assert int(line[column]) == arrays[f"{name}/{column}"][n]
                for kind in ("mean", "logvar"):
                    for d in range(3):
                        value = arrays[f"{name}/{kind}"][n, d]
                        assert float(line[f"{kind}{d}"]) == pytest.approx(value, rel=1e-5)


def test_a_second_test_overwrites_to_the_same_bytes(
    tmp_path: Path, quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    written = set()
    for _ in range(2):
        run(tmp_path, quiet_trainer, make_multimodal(), make_multimodal_data())
        written.add((tmp_path / "predictions.csv").read_bytes())
        assert {path.name for path in tmp_path.iterdir()} == {"predictions.csv", "predictions.npz"}
    assert len(written) == 1


def test_anndata_holds_the_latents(
    tmp_path: Path, quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    anndata = pytest.importorskip("anndata")
    model = make_multimodal(has_joint=True)
    run(tmp_path, quiet_trainer, model, make_multimodal_data(), anndata=True)
    assert {path.stem for path in tmp_path.glob("*.h5ad")} == {
        f"predictions_{name}" for name in (*NAMES, "joint")
    }
    table = anndata.read_h5ad(tmp_path / "predictions_right.h5ad")
    with np.load(tmp_path / "predictions.npz") as arrays:
        np.testing.assert_array_equal(table.obsm["X_latent"], arrays["right/mean"])
        np.testing.assert_array_equal(table.obs["trial"], arrays["right/trial"])
        assert table.obs_names.tolist() == [str(row) for row in arrays["right/row"]]


def test_a_missing_extra_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install mixvae\[cells\]"):
        MultimodalPredictions(str(tmp_path), anndata=True)
