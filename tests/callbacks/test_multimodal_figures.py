"""The figures of a multimodal run are drawn after a test, from the model and the data at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixvae.callbacks.multimodal_figures as module
from mixvae.callbacks.collecting import samples_tested
from mixvae.callbacks.multimodal_evaluation import MultimodalEvaluation
from mixvae.callbacks.multimodal_figures import MultimodalFigures
from mixvae.data import HippocampusDataModule
from mixvae.engine.csv_logger import CsvLogger
from mixvae.evaluation.latent_mixture import LatentMixture

ALWAYS = {"latents", "reconstructions"}
MEASURED = {"coherence_matrix", "probe_accuracy"}


def names(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "figures").glob("*.png")}


@pytest.fixture
def drawn(record_drawing) -> dict[str, list[tuple[Any, ...]]]:
    names = ("latent_planes", "imputations", "coherence_heat_map", "accuracy_bars")
    return record_drawing(module, *names)


def test_a_run_draws_everything(
    tmp_path: Path, quiet_trainer, make_multimodal, make_multimodal_data
) -> None:
    callbacks = [MultimodalEvaluation(), MultimodalFigures(str(tmp_path))]
    logger = CsvLogger(str(tmp_path / "metrics.csv"))
    trainer = quiet_trainer(callbacks=callbacks, max_epochs=2, logger=logger, log_every_n_steps=1)
    model, data = make_multimodal(has_joint=True), make_multimodal_data(missing=True)
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    assert names(tmp_path) == ALWAYS | MEASURED | {"learning_curves"}


def test_without_labels_or_evaluation_the_rest_is_drawn(
    tmp_path: Path, quiet_trainer, make_multimodal, make_multimodal_data, drawn
) -> None:
    trainer = quiet_trainer(callbacks=[MultimodalFigures(str(tmp_path))])
    trainer.test(make_multimodal(), datamodule=make_multimodal_data(num_classes=0), verbose=False)
    assert names(tmp_path) == ALWAYS


def test_figures_get_what_was_measured_and_inferred(
    tmp_path: Path, quiet_trainer, make_multimodal, make_multimodal_data, drawn
) -> None:
    model, data = make_multimodal(), make_multimodal_data(missing=True)
    figures = MultimodalFigures(str(tmp_path), events_per_class=2)
    trainer = quiet_trainer(callbacks=[MultimodalEvaluation(), figures])
    (values,) = trainer.test(model, datamodule=data, verbose=False)

    ((matrix, shown, mean, latents),) = drawn["coherence_heat_map"]
    assert latents == "latents"
    assert shown == ["left", "right", "middle"]
    assert mean == pytest.approx(values["test/coherence"])
    assert matrix[0, 1] == pytest.approx(values["test/coherence/left_to_right"])
    assert matrix[2, 2] == pytest.approx(values["test/self_coherence/middle"])
    ((series, _, largest, tested),) = drawn["accuracy_bars"]
    assert series["probe of its own latents"][1] == pytest.approx(
        values["test/probe_accuracy/right"]
    )
    assert tested == "held-out samples"
    whole = data.splits["test"]
    for m, share in enumerate(largest):
        rows = whole.rows[:, m]
        label = {int(row): int(k) for row, k in zip(rows, whole.label, strict=True) if row >= 0}
        assert share == pytest.approx(np.bincount(list(label.values())).max() / len(label))

    ((clouds, *_),) = drawn["latent_planes"]
    # Events share samples of `right`.
    assert [len(cloud.mean) for cloud in clouds] == [27, len(whole.rows[:, 1].unique()), 27]
    assert len(clouds[1].mean) < 36

    ((samples, decoded, _, events, _),) = drawn["imputations"]
    assert events == ["class 0"] * 2 + ["class 1"] * 2 + ["class 2"] * 2
    index = [0, 33, 1, 34, 2, 35]
    there = whole.present[index].numpy()
    for m in range(3):
        shown = ~np.isnan(samples[m].reshape(6, -1)).any(1)
        np.testing.assert_array_equal(shown, there[:, m])
        expected = whole.x[m][index].numpy()[shown]
        np.testing.assert_array_equal(samples[m][shown], expected)
    latent = model.infer(whole.x, whole.present).mean[0, index]
    expected = model.decode(latent, 2).detach().numpy()[there[:, 0]]
    np.testing.assert_allclose(decoded[2][0][there[:, 0]], expected, rtol=1e-4, atol=1e-6)
    assert np.isnan(decoded[2][0][~there[:, 0]]).all()


def test_figures_say_that_shared_latents_are_decoded_and_what_is_tested(
    tmp_path: Path, quiet_trainer, make_multimodal, make_multimodal_data, drawn
) -> None:
    model, data = make_multimodal(), make_multimodal_data()
    model.private_dim = 2
    data.tests_on_training = True
    trainer = quiet_trainer(callbacks=[MultimodalEvaluation(), MultimodalFigures(str(tmp_path))])
    trainer.test(model, datamodule=data, verbose=False)
    assert drawn["imputations"][0][4] == drawn["coherence_heat_map"][0][3] == "shared latents"
    ((series, _, _, tested),) = drawn["accuracy_bars"]
    assert "classifier of samples, on its own shared latents decoded" in series
    assert tested == "samples trained on"


@pytest.mark.parametrize(
    ("split", "words"),
    [("train", "samples trained on"), ("val", "validation samples"), ("test", "held-out samples")],
)
def test_the_split_that_is_tested_is_said_in_words(split: str, words: str) -> None:
    data = HippocampusDataModule(seed=0, predict_split=split)
    assert samples_tested(data) == words
    assert samples_tested(HippocampusDataModule(seed=0, split="paper")) == "samples trained on"


def test_draws_are_from_the_modalities_that_an_event_has(
    quiet_trainer, make_mmvm, make_multimodal_data, record_drawing, tmp_path: Path
) -> None:
    """Of two others, where one is missing the draw is from the other; with none it is blank."""
    data = make_multimodal_data(missing=True)
    model = make_mmvm(data)
    drawn = record_drawing(module, "latent_planes", "imputations", "generated")
    LatentMixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None]).save(tmp_path)
    trainer = quiet_trainer(callbacks=[MultimodalFigures(str(tmp_path))])
    trainer.test(model, datamodule=data, verbose=False)
    ((samples, columns, names, titles, _),) = drawn["generated"]
    assert titles == ["from 1 other", "from 2 others", "from no event"]
    for n in range(len(names)):
        assert [part.shape for part in columns[n]] == [samples[n].shape] * 3
        gone = [np.isnan(part.reshape(len(part), -1)).all(1) for part in columns[n]]
        missing = [np.isnan(part.reshape(len(part), -1)).all(1) for part in samples]
        others = [missing[(n + k) % 3] for k in (1, 2)]
        assert (gone[0] == others[0]).all()
        assert (gone[1] == (others[0] & others[1])).all()
        assert not gone[2].any()
