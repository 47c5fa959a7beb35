"""The logged area is that of the predictions; data without labels log nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixvae.callbacks.confidence import Confidence
from mixvae.callbacks.predictions import Predictions
from mixvae.evaluation.risk_coverage import accuracy_at_coverage, is_correct


def test_the_area_is_that_of_the_predictions(
    tmp_path: Path, quiet_trainer, make_model, make_data
) -> None:
    trainer = quiet_trainer(callbacks=[Confidence(), Predictions(dirpath=str(tmp_path))])
    model = make_model()
    (logged,) = trainer.test(model, datamodule=make_data(), verbose=False)
    with np.load(tmp_path / "predictions.npz") as arrays:
        category, label, probs = arrays["consensus"], arrays["label"], arrays["probs"]
    mean = probs.mean(axis=0)[np.arange(len(category)), category]
    correct = is_correct(category, label, model.num_categories, 4)
    expected = 1 - accuracy_at_coverage(mean, correct).mean()
    assert logged["test/aurc"] == pytest.approx(expected, rel=1e-6)


def test_without_labels_nothing_is_logged(quiet_trainer, make_model, make_data) -> None:
    trainer = quiet_trainer(callbacks=[Confidence()])
    trainer.test(make_model(), datamodule=make_data(num_classes=0), verbose=False)
    assert "test/aurc" not in trainer.callback_metrics
