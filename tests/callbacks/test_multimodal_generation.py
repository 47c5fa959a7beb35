"""A test measures what the model generates, of held-out events, and says it in the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import mixvae.callbacks.multimodal_generation as module
from mixvae.callbacks.multimodal_evaluation import MultimodalEvaluation
from mixvae.callbacks.multimodal_generation import Generation
from mixvae.contracts import MultimodalBatch
from mixvae.evaluation.latent_mixture import FILE
from mixvae.evaluation.latents import LatentCollector, SampleCollector
from mixvae.evaluation.representation import SplitInference
from mixvae.modules import Autoencoder

LIKELIHOODS = ("test/joint_log_likelihood", "test/conditional_log_likelihood/2")


def run(quiet_trainer, model, data, folder: Path, epochs: int = 0, **options) -> dict[str, float]:
    generation = Generation(str(folder), **options)
    callback = MultimodalEvaluation(generation=generation)
    trainer = quiet_trainer(callbacks=[callback], max_epochs=epochs)
    if epochs:
        trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


@pytest.mark.slow
def test_training_raises_what_is_measured(
    quiet_trainer, make_mmvm, make_multimodal_data, tmp_path: Path
) -> None:
    data = make_multimodal_data(missing=True)
    model = make_mmvm(data)
    before = run(quiet_trainer, model, data, tmp_path)
    after = run(quiet_trainer, model, data, tmp_path, epochs=20)
    for name in (*LIKELIHOODS, "test/subset_coherence/1", "test/unconditional_coherence"):
        assert after[name] > before[name]
    assert after["test/subset_coherence/2"] > before["test/subset_coherence/2"]
    for name in ("frechet", "frechet_conditional"):
        assert after[f"test/{name}/left"] < before[f"test/{name}/left"]
    assert after["test/frechet_training"] == before["test/frechet_training"]
    assert (tmp_path / FILE).is_file()
    torch.manual_seed(7)
    again = run(quiet_trainer, model, data, tmp_path)
    assert {again[name] == after[name] for name in after if name.startswith("test/")} == {True}


def test_likelihoods_are_of_the_events_that_have_what_is_given_and_asked_for(
    quiet_trainer, make_mmvm, make_multimodal_data, tmp_path: Path
) -> None:
    data = make_multimodal_data(missing=True)
    model = make_mmvm(data)
    values = run(quiet_trainer, model, data, tmp_path, likelihood_draws=100)
    whole, given = data.splits["test"], torch.tensor([True, True, False])
    both = whole.present[:, :2].all(1) & whole.present[:, 2]
    with torch.no_grad():
        each = model.conditional_log_likelihood(whole, given, 2, 400)[both].mean()
        joint = model.joint_log_likelihood(whole, 400).mean()
    assert values["test/joint_log_likelihood"] == pytest.approx(float(joint), rel=0.02)
    assert values["test/conditional_log_likelihood/2"] == pytest.approx(float(each), rel=0.5)


def test_without_labels_likelihoods_and_own_features_remain(
    quiet_trainer, make_mmvm, make_multimodal_data, tmp_path: Path
) -> None:
    data = make_multimodal_data(num_classes=0)
    features = {"left": lambda x: x.reshape(len(x), -1)[:, :3], "right": torch.nn.Flatten()}
    values = run(quiet_trainer, make_mmvm(data), data, tmp_path, features=features)
    assert np.isfinite([values[f"test/frechet/{name}"] for name in features]).all()
    assert set(LIKELIHOODS) <= set(values)
    assert {n for n in values if "frechet/" in n} == {"test/frechet/left", "test/frechet/right"}
    assert not any("coherence" in name for name in values)


def test_an_autoencoder_has_no_likelihood(
    quiet_trainer, make_mmvm, make_multimodal_data, tmp_path: Path
) -> None:
    data = make_multimodal_data()
    values = run(quiet_trainer, make_mmvm(data, Autoencoder), data, tmp_path)
    assert not any("likelihood" in name for name in values)
    assert np.isfinite(values["test/subset_coherence/1"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"likelihood_draws": 3}, "likelihood_draws must be even and at least 2, got 3"),
        ({"max_events": 1}, "generation.max_events must be 2 or more, got 1"),
        ({"max_subsets": 0}, "generation.max_subsets must be 1 or more, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Generation("folder", **options)


def test_features_of_an_unknown_modality_are_refused(
    quiet_trainer, make_mmvm, make_multimodal_data, tmp_path: Path
) -> None:
    data = make_multimodal_data()
    with pytest.raises(ValueError, match="no modality lft; they have left, right, middle"):
        run(quiet_trainer, make_mmvm(data), data, tmp_path, features={"lft": np.ravel})


@torch.no_grad()
def test_held_out_events_are_those_of_the_split(make_multimodal, make_multimodal_data) -> None:
    """Of 36 events 12, spread over all, with what they miss and the samples that they share."""
    data, model = make_multimodal_data(missing=True), make_multimodal()
    whole = data.splits["test"]
    latents, samples = LatentCollector(), SampleCollector(3, 100)
    for events in torch.arange(36).split(8):
        x = tuple(part[events] for part in whole.x)
        batch = MultimodalBatch(x, *(field[events] for field in whole[1:]))
        latents.update(model.infer(batch.x, batch.present), batch)
        samples.update(batch)
    test = SplitInference(latents.compute(), samples.compute())
    found = module._held_out(test, model, 12)
    index = found.index
    assert len(index) == 12
    assert (int(index[0]), int(index[-1])) == (0, 35)
    for m in range(3):
        torch.testing.assert_close(found.x[m], whole.x[m][index])
    assert (found.present == whole.present[index]).all()
    assert (found.label == whole.label[index]).all()


def test_a_diverged_model_ends_its_test_with_a_warning(
    quiet_trainer, make_mmvm, make_multimodal_data, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = make_multimodal_data(num_classes=0)
    model = make_mmvm(data)
    torch.nn.init.constant_(next(model.networks.parameters()), float("nan"))
    values = run(quiet_trainer, model, data, tmp_path)
    assert "generated samples are not measured: some training latents are not finite" in caplog.text
    assert "test/kl" in values
    assert not (tmp_path / FILE).exists()
