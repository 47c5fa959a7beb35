"""Clusterability is measured on the test samples, logged and written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from mixvae.callbacks.clusterability import Clusterability
from mixvae.evaluation.clusterability import compare_clusterability, mixture_latent


@pytest.fixture
def measure(tmp_path: Path, quiet_trainer, tiny_model):
    """Test the tiny model with the callback and return what is logged."""

    def run(data, **options) -> dict[str, float]:
        callback = Clusterability(str(tmp_path), **options)
        trainer = quiet_trainer(callbacks=[callback])
        trainer.test(tiny_model, datamodule=data, verbose=False)
        return {name: float(value) for name, value in trainer.callback_metrics.items()}

    return run


def test_what_is_logged_is_what_the_samples_give_and_what_is_written(
    tmp_path: Path, measure, tiny_model, make_data
) -> None:
    data = make_data(num_samples=200)
    metrics = measure(data)
    rows = sorted(data.rows, key=lambda row: int(row[2]))
    x = torch.stack([row[0] for row in rows])
    probs, state, _ = (part.detach() for part in tiny_model.infer(x))
    category = probs.log().mean(dim=0).argmax(dim=-1).numpy()
    label = np.array([int(row[1]) for row in rows])
    wanted = compare_clusterability(
        mixture_latent(probs.numpy(), state.numpy()),
        x.flatten(1).numpy(),
        {"category": category, "label": label},
    )
    assert set(metrics) == {f"test/clusterability/{name}" for name in wanted}
    for name, value in wanted.items():
        assert metrics[f"test/clusterability/{name}"] == pytest.approx(value, abs=0.02)
    assert metrics["test/clusterability/pca/num_components"] == 4 + 3
    assert metrics["test/clusterability/pca/label/balanced_accuracy"] > 0.95
    with (tmp_path / "clusterability.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == len(metrics)
    for row in written:
        parts = (row["representation"], row["groups"], row["measure"])
        name = "/".join(("test/clusterability", *(part for part in parts if part)))
        assert float(row["value"]) == pytest.approx(metrics[name], rel=1e-5)


def test_without_labels_categories_are_measured(measure, make_data) -> None:
    metrics = measure(make_data(num_classes=0, num_samples=100))
    assert "test/clusterability/latent/category/num_groups" in metrics
    assert not any("label" in name for name in metrics)


def test_some_samples_suffice_and_the_seed_draws_them(measure, make_data) -> None:
    data = make_data(num_samples=200)
    name = "test/clusterability/pca/label/silhouette"
    some = measure(data, max_samples=80)
    assert measure(data, max_samples=80) == some
    assert measure(data, max_samples=80, seed=1)[name] != some[name]
    assert some[name] == pytest.approx(measure(data)[name], abs=0.1)
