"""Measures whether the agents' agreement tells right samples from wrong ones."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from mixvae.callbacks.collecting import spec_of
from mixvae.callbacks.measuring import AbstractMeasuring, log_values
from mixvae.contracts import Batch, DataSpec, MixtureModel, MixtureStep
from mixvae.evaluation.risk_coverage import RiskCoverage


class Confidence(AbstractMeasuring[RiskCoverage]):
    """Log `test/aurc`, see `evaluation.risk_coverage`; nothing for data without labels."""

    validates = False

    def new_metric(self, trainer: Trainer, model: Any) -> RiskCoverage:
        """Return an empty metric of the model's size."""
        assert isinstance(model, MixtureModel)
        return RiskCoverage(model.num_categories, spec_of(trainer, DataSpec).num_classes)

    def update(self, step: Any, batch: Batch) -> None:
        """Add a batch."""
        assert isinstance(step, MixtureStep), "the step must return a contracts.MixtureStep"
        if self.metric.num_classes:
            self.metric.update(step.posterior, batch)

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Log the area."""
        if self.metric.update_count:
            log_values(model, split, self.metric.compute())
        self.metric.reset()
