"""The files hold what the model infers, one line per sample, and are rewritten whole."""

from __future__ import annotations

import csv
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

from mixvae.callbacks.predictions import Predictions


@pytest.fixture
def folder(tmp_path: Path, quiet_trainer, tiny_model, tiny_data) -> Path:
    predictions = Predictions(dirpath=str(tmp_path))
    trainer: lightning.Trainer = quiet_trainer(callbacks=[predictions])
    trainer.test(tiny_model, datamodule=tiny_data)
    return tmp_path


def test_arrays_are_those_of_the_model(folder: Path, tiny_model, tiny_data) -> None:
    x, label, index = (torch.stack(column) for column in zip(*tiny_data.rows, strict=True))
    order = index.argsort()
    posterior = tiny_model.infer(x[order])
    with np.load(folder / "predictions.npz") as arrays:
        np.testing.assert_array_equal(arrays["index"], np.arange(37))
        np.testing.assert_array_equal(arrays["label"], label[order])
        probs = posterior.probs.detach().numpy()
        np.testing.assert_allclose(arrays["probs"], probs, rtol=1e-4, atol=1e-7)
        mean = posterior.state_mean.detach().numpy()
        np.testing.assert_allclose(arrays["state_mean"], mean, rtol=1e-4, atol=1e-6)


def test_table_says_what_the_arrays_say(folder: Path) -> None:
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / "predictions.npz") as arrays:
        assert len(rows) == 37
        for n, row in enumerate(rows):
            assert int(row["index"]) == n
            assert int(row["label"]) == arrays["label"][n]
            assert int(row["consensus"]) == arrays["consensus"][n]
            for a in range(2):
                assert int(row[f"agent{a}_category"]) == arrays["category"][a, n]
                largest = arrays["probs"][a, n].max()
                assert float(row[f"agent{a}_probability"]) == pytest.approx(largest, rel=1e-5)
                for s in range(3):
                    mean = arrays["state_mean"][a, n, s]
                    assert float(row[f"agent{a}_state{s}"]) == pytest.approx(mean, rel=1e-5)


def test_a_second_test_overwrites_to_the_same_bytes(
    folder: Path, quiet_trainer, tiny_model, tiny_data
) -> None:
    before = (folder / "predictions.csv").read_bytes()
    trainer = quiet_trainer(callbacks=[Predictions(dirpath=str(folder))])
    trainer.test(tiny_model, datamodule=tiny_data)
    assert (folder / "predictions.csv").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"predictions.csv", "predictions.npz"}
