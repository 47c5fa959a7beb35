"""What is logged is what a loop over the data measures; probes and coherence are of test data."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from mixvae.callbacks.multimodal_evaluation import MultimodalEvaluation

NAMES = ("left", "right", "middle")


def run(quiet_trainer, model, data, epochs: int = 0, **options) -> dict[str, float]:
    trainer = quiet_trainer(callbacks=[MultimodalEvaluation(**options)], max_epochs=epochs)
    if epochs:
        trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


def test_means_are_those_of_all_events_at_once(
    quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    model, data = make_multimodal(), make_multimodal_data(missing=True)
    values = run(quiet_trainer, model, data)

    whole = data.splits["test"]
    with torch.no_grad():
        step = model.step(whole)
    there = whole.present.T
    means = [step.reconstruction[m][there[m]].mean().item() for m in range(3)]
    for m, name in enumerate(NAMES):
        assert values[f"test/reconstruction/{name}"] == pytest.approx(means[m], rel=1e-5)
    assert values["test/reconstruction"] == pytest.approx(sum(means), rel=1e-5)
    assert values["test/kl"] == pytest.approx(step.kl.mean().item(), rel=1e-5)
    imputed = step.imputation[0, 2][there[0] & there[2]].mean().item()
    assert values["test/imputation/left_to_middle"] == pytest.approx(imputed, rel=1e-5)
    pairs = [v for name, v in values.items() if name.startswith("test/imputation/")]
    assert len(pairs) == 6
    assert values["test/imputation"] == pytest.approx(np.mean(pairs), rel=1e-5)


def test_training_raises_probes_and_self_coherence(
    quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    values = run(quiet_trainer, make_multimodal(), make_multimodal_data(), epochs=40)
    for split in ("val", "test"):
        assert values[f"{split}/probe_accuracy"] > 0.9
        assert values[f"{split}/classifier_accuracy"] == 1.0
        assert values[f"{split}/self_coherence"] > 0.9
        if split == "val":
            assert not any("_to_" in name for name in values if name.startswith("val/"))
            continue
        across = [v for name, v in values.items() if name.startswith("test/coherence/")]
        assert len(across) == 6
        assert values[f"{split}/coherence"] == pytest.approx(np.mean(across))
        for name in NAMES:
            assert f"{split}/probe_balanced_accuracy/{name}" in values
            assert f"{split}/shared_probe_accuracy/{name}" in values
            assert f"{split}/self_coherence/{name}" in values
        assert f"{split}/probe_accuracy/joint" not in values


def test_the_same_weights_give_the_same_values(
    quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    torch.manual_seed(1)
    first = run(quiet_trainer, make_multimodal(), make_multimodal_data(), classifier="mlp")
    torch.manual_seed(2)
    assert run(quiet_trainer, make_multimodal(), make_multimodal_data(), classifier="mlp") == first


def test_a_name_that_looks_like_a_pair_keeps_its_measures(
    quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    data = make_multimodal_data()
    first, *others = data.spec.modalities
    named = (replace(first, name="left_to_right"), *others)
    data.spec = replace(data.spec, modalities=named)
    values = run(quiet_trainer, make_multimodal(), data)
    trainer = quiet_trainer(callbacks=[MultimodalEvaluation()])
    (validated,) = trainer.validate(make_multimodal(), datamodule=data, verbose=False)
    values |= validated
    for measure in ("reconstruction", "probe_accuracy", "self_coherence"):
        assert f"val/{measure}/left_to_right" in values
    assert not any(name.startswith(("val/imputation/", "val/coherence/")) for name in values)


def test_a_joint_posterior_is_probed_and_left_out_of_the_mean(
    quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    data = make_multimodal_data(missing=True)
    values = run(quiet_trainer, make_multimodal(has_joint=True), data)
    single = [values[f"test/probe_accuracy/{name}"] for name in NAMES]
    assert values["test/probe_accuracy"] == pytest.approx(np.mean(single))
    assert 0 <= values["test/probe_balanced_accuracy/joint"] <= 1
    assert values["test/probe_accuracy/joint"] > 0.4


def test_without_labels_it_says_so_and_measures_the_rest(
    quiet_trainer, make_multimodal, make_multimodal_data, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="mixvae"):
        values = run(quiet_trainer, make_multimodal(), make_multimodal_data(num_classes=0))
    assert "no labels: probe accuracy and coherence are not measured" in caplog.text
    assert {name.split("/")[1] for name in values} == {"reconstruction", "imputation", "kl"}


def test_one_known_class_is_too_few(
    quiet_trainer, make_multimodal, make_multimodal_data, caplog: pytest.LogCaptureFixture
) -> None:
    data = make_multimodal_data()
    data.splits["train"] = data.splits["train"]._replace(label=torch.zeros(60, dtype=torch.int64))
    values = run(quiet_trainer, make_multimodal(), data)
    assert "no two classes are known" in caplog.text
    assert "test/coherence" not in values


def test_data_of_one_kind_are_refused(quiet_trainer, make_multimodal, tiny_data) -> None:
    with pytest.raises(ValueError, match="several modalities, which tiny is not"):
        run(quiet_trainer, make_multimodal(), tiny_data)


def test_a_foreign_data_module_is_measured_without_its_labels(
    quiet_trainer, make_multimodal, make_multimodal_data, caplog
) -> None:
    caplog.set_level(logging.INFO, logger="mixvae")
    model, data = make_multimodal(), make_multimodal_data()
    model.modalities = data.spec.modalities
    expected = run(quiet_trainer, model, data)
    del data.spec
    values = run(quiet_trainer, model, data)
    assert values["test/reconstruction"] == expected["test/reconstruction"]
    assert "test/probe_accuracy" not in values
    assert "no labels: probe accuracy and coherence are not measured" in caplog.text
    del model.modalities
    with pytest.raises(ValueError, match="a `spec` of the data, which TinyMultimodalData lacks"):
        run(quiet_trainer, model, data)
