"""Draws the agents' agreement a few times in training, so that a dashboard can show its course."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from mixvae.callbacks.collecting import spec_of
from mixvae.callbacks.figures import draw_counts
from mixvae.callbacks.lightning_parts import is_debugging
from mixvae.callbacks.measuring import AbstractMeasuring
from mixvae.callbacks.pictures import PictureLogger, save_pictures
from mixvae.callbacks.settings import check_least
from mixvae.contracts import Batch, DataSpec, MixtureModel, MixtureStep
from mixvae.evaluation.mixture import MixtureEvaluation

SERIES = ("consensus_matrix", "category_label_table")


class Milestones(AbstractMeasuring[MixtureEvaluation]):
    """Log the consensus matrix and the table of labels of validation samples, at a few epochs.

    Pictures go to `figures/milestones` and, as `milestones/<name>`, to every logger that takes
    pictures. Without such a logger nothing is drawn.

    Args:
        count: Milestones besides the first epoch, evenly spread; 0 draws none at all.
    """

    tests = False  # a test has figures of its own

    def __init__(self, dirpath: str, count: int = 4) -> None:
        check_least("milestones", 0, count=count)
        self.dirpath, self.count = Path(dirpath), count

    def due(self, trainer: Trainer) -> bool:
        """Whether the validation of this epoch is drawn."""
        total = trainer.max_epochs or 0
        if self.count == 0 or total < 1 or trainer.sanity_checking or is_debugging(trainer):
            return False
        epochs = {1, *(math.ceil(total * i / self.count) for i in range(1, self.count + 1))}
        every = trainer.check_val_every_n_epoch or 1
        # A milestone between two validations waits for the next one.
        passed = range(trainer.current_epoch + 2 - every, trainer.current_epoch + 2)
        takes = any(isinstance(logger, PictureLogger) for logger in trainer.loggers)
        return takes and not epochs.isdisjoint(passed)

    def new_metric(self, trainer: Trainer, model: Any) -> MixtureEvaluation:
        """Return an empty metric of the model's size."""
        assert isinstance(model, MixtureModel)
        classes = spec_of(trainer, DataSpec).num_classes
        return MixtureEvaluation(
            model.num_agents, model.num_categories, classes, model.category_mask
        )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with an empty metric, at a milestone."""
        self.validates = self.due(trainer)
        super().on_validation_epoch_start(trainer, pl_module)

    def update(self, step: Any, batch: Batch) -> None:
        """Add a batch."""
        assert isinstance(step, MixtureStep)
        self.metric.update(step, batch.label)

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Draw, on the first rank."""
        self.metric.compute()
        with self.metric.sync_context():
            counts = self.metric.counts()
        if trainer.is_global_zero:
            assert isinstance(model, MixtureModel)
            kept = model.category_mask.cpu().numpy().nonzero()[0]
            epoch = trainer.current_epoch + 1
            drawn = draw_counts(counts, spec_of(trainer, DataSpec), kept)
            figures = ((name, figure) for name, figure in drawn if name in SERIES)
            save_pictures(trainer, self.dirpath, figures, milestone=epoch)
