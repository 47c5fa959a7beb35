"""A training of several modalities warns while it goes wrong, once of each fault."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mixvae.callbacks.multimodal_health import MultimodalHealth
from mixvae.contracts import MultimodalBatch, MultimodalPosterior, MultimodalStep
from mixvae.data.modalities.resident import one_hot
from mixvae.evaluation.multimodal_health import LatentHealth
from mixvae.train import main

SHORT = (
    "logger=csv",
    "report=false",
    "num_threads=1",
    "~callbacks.figures",
    "~callbacks.predictions",
)


def run(*options: str) -> dict:
    assert main(["+experiment=multimodal_mmvm", *SHORT, *options, "run_dir=run"]) == 0
    return json.loads(Path("run", "summary.json").read_text())


@pytest.fixture(autouse=True)
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    a = generator.normal(size=(200, 4))
    apart, few = np.full((2, 200, 4), np.nan)
    for array, rows in ((apart, slice(100, 200)), (few, slice(0, 20))):
        array[rows] = generator.normal(size=(200, 4))[rows]
    first = np.where(np.arange(200)[:, None] < 100, a, np.nan)
    named = {"a": a, "big": 1e4 * a + 1, "few": few, "first": first, "apart": apart}
    for name, array in named.items():
        np.save(f"{name}.npy", array.astype(np.float32))


def test_a_modality_that_is_the_whole_loss_and_one_of_few_rows_are_warned_of() -> None:
    result = run(
        "data.modalities={a: a.npy, big: big.npy, few: few.npy}",
        "trainer.max_epochs=2",
        "model.beta=1",
        "callbacks.health.patience_epochs=1",
    )
    told = " ".join(result["warnings"])
    assert "modality 'big' is" in told
    assert "modality 'few' has" in told
    assert told.count("of the reconstruction loss") == 1
    assert 1 <= result["val/effective_dimensions"] <= 8


def test_events_that_never_share_two_modalities_are_warned_of() -> None:
    result = run("data.modalities={first: first.npy, apart: apart.npy}", "trainer.max_epochs=1")
    assert any("no training event has two modalities" in line for line in result["warnings"])
    assert "none of" in result["choices"]["model.beta"]["reason"]


@pytest.mark.slow
def test_healthy_data_are_left_alone_and_the_choice_is_in_the_summary() -> None:
    generator = np.random.default_rng(1)
    shared = generator.normal(size=(300, 2))
    for name in "xy":
        noise = 0.2 * generator.normal(size=(300, 6))
        np.save(f"{name}.npy", (shared @ generator.normal(size=(2, 6)) + noise).astype(np.float32))
    result = run(
        "data.modalities={x: x.npy, y: y.npy}",
        "trainer.max_epochs=25",
        "model.optimizer.lr=0.01",
        "data.batch_size=32",
        "model.latent_dim=2",
    )
    assert result["warnings"] == []
    choice = result["choices"]["model.beta"]
    assert choice["beta"] > 0
    assert len(choice["gains"]) == len(choice["candidates"])


def test_padding_of_texts_is_not_expected_to_be_reconstructed() -> None:
    tokens = torch.tensor([[0, 1, -1], [1, 0, -1], [1, 1, 0], [0, -1, -1]])
    x = one_hot(tokens, 2)
    decoded = torch.where((tokens < 0)[..., None], 0.5, x)
    zeros, here = torch.zeros(1, 4, 2), torch.ones(4, 1, dtype=torch.bool)
    health = MultimodalHealth()
    health.metric, health._kinds = LatentHealth(1, 2), ["tokens"]
    health._model = SimpleNamespace(num_modalities=1, private_dim=0, decode=lambda *_: decoded)
    step = MultimodalStep(MultimodalPosterior(zeros, zeros), *[zeros] * 3)
    health.update(step, MultimodalBatch((x,), here, *[torch.arange(4)] * 2, here.long()))
    assert float(health.metric.compute()["explained"]) == 1.0
