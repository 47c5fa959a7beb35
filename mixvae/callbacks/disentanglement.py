"""Measures how far a mixture model's codes are the factors that made the test data."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from mixvae.callbacks.measuring import AbstractMeasuring, log_values
from mixvae.contracts import Batch, MixtureStep
from mixvae.evaluation.disentanglement_scores import DisentanglementScores


class Disentanglement(AbstractMeasuring[DisentanglementScores]):
    """Log `test/factor_vae`, `test/mig` and `test/dci_...` of data that name their factors.

    See `evaluation.disentanglement`. Data without factors cost nothing and log nothing.

    Args:
        max_samples: Test samples to measure at most, drawn by the seed.
        seed: Seed of all draws, so that the same model has the same scores.
    """

    validates = False

    def __init__(self, max_samples: int = 10_000, seed: int = 0) -> None:
        self.metric = DisentanglementScores(max_samples, seed)

    def new_metric(self, trainer: Trainer, model: Any) -> DisentanglementScores:
        """Return the metric, emptied."""
        self.metric.reset()
        return self.metric

    def update(self, step: Any, batch: Batch) -> None:
        """Add the codes and factors of a batch."""
        assert isinstance(step, MixtureStep), "the step must return a contracts.MixtureStep"
        if batch.factors is not None:
            self.metric.update(step.posterior, batch.index, batch.factors)

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Log the scores."""
        if self.metric.update_count:
            log_values(model, split, self.metric.compute())
        self.metric.reset()
