"""Experiments with several modalities, and every model for them: composed, trained, recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from mixvae.train import main
from tests.composed import composed

MODELS = [
    "mmvm",
    "mmvae_plus",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            *("independent", "avg", "poe", "poe_prior", "mvae", "moe", "mopoe"),
            *("mopoe_authors", "ae"),
        )
    ),
]
TINY = (
    "logger=csv",
    "report=false",
    "num_threads=1",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=3",
    "~callbacks.figures",
)


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three aligned arrays with classes, one of them with missing rows, as overrides."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    label = generator.integers(0, 3, 240)
    for name, size in (("a", 6), ("b", 4), ("c", 5)):
        x = generator.normal(size=(240, size)) + 3 * generator.normal(size=(3, size))[label]
        if name == "b":
            x[::5] = np.nan
        np.save(tmp_path / f"{name}.npy", x.astype(np.float32))
    np.save(tmp_path / "y.npy", label)
    return ["data.modalities={a: a.npy, b: b.npy, c: c.npy}", "data.labels=y.npy"]


def summary(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "run" / "summary.json").read_text())


@pytest.mark.parametrize("model", MODELS)
def test_every_model_runs_by_its_name(model: str, arrays: list[str], tmp_path: Path) -> None:
    options = ["+experiment=multimodal_mmvm", f"model={model}", *arrays, *TINY, "run_dir=run"]
    options += ["model.weights={a: 2.0}"]
    if model != "ae":
        options.append("model.beta=0.01")
    assert main(options) == 0
    result = summary(tmp_path)
    assert result["status"] == "finished"
    for name in ("a", "b", "c"):
        assert 0 <= result[f"test/probe_accuracy/{name}"] <= 1
    assert 0 <= result["test/coherence"] <= 1
    assert np.isfinite(result["test/reconstruction"])


def test_a_caption_and_counts_beside_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    np.save("image.npy", generator.uniform(size=(240, 3, 4, 4)))
    np.save("caption.npy", np.eye(7)[generator.integers(0, 7, (240, 5))])
    np.save("spikes.npy", generator.poisson(3.0, (240, 6)))
    files = "{image: image.npy, caption: caption.npy, spikes: spikes.npy}"
    family = "{_target_: mixvae.objectives.modality_likelihoods.%s}"
    own = f"{{caption: {family % 'Categorical'}, spikes: {family % 'Poisson'}}}"
    options = ["+experiment=multimodal_mmvm", f"data.modalities={files}", *TINY, "run_dir=run"]
    options += ["likelihood=laplace", f"model.likelihoods={own}", "data.standardise=[image]"]
    options += ["model.beta=1"]
    assert main(options) == 0
    result = summary(tmp_path)
    for name in ("image", "caption", "spikes"):
        assert np.isfinite(result[f"test/reconstruction/{name}"])


@pytest.mark.parametrize("name", ["categorical", "laplace", "poisson"])
def test_a_likelihood_is_chosen_by_its_name(name: str) -> None:
    job = composed(["+experiment=multimodal_mmvm", f"likelihood={name}"])
    assert type(instantiate(job.model.likelihood)).__name__.lower() == name


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mmvm", "mopoe"])
def test_a_resumed_run_equals_the_uninterrupted_one(
    model: str, arrays: list[str], tmp_path: Path
) -> None:
    common = ["+experiment=multimodal_mmvm", f"model={model}", *arrays, "logger=csv"]
    common += ["num_threads=1", "data.batch_size=32", "~callbacks.figures"]
    # A scan for beta is no longer than the training was to be, and this one is prolonged.
    common += ["model.beta=0.5"]
    assert main([*common, "trainer.max_epochs=4", "run_dir=whole"]) == 0
    assert main([*common, "trainer.max_epochs=2", "run_dir=parted"]) == 0
    assert main(["resume=parted", "trainer.max_epochs=4"]) == 0
    weights = [
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in ("whole", "parted")
    ]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
