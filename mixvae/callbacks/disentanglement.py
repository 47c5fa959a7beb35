"""Measures how far a mixture model's codes are those that the test data were made of."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mixvae.contracts import Batch, MixtureStep
from mixvae.evaluation.disentanglement_scores import DisentanglementScores


class Disentanglement(Callback):
    """Log `test/factor_vae`, `test/mig` and `test/dci_...` where the data name their factors.

    See `evaluation.disentanglement`. Data without factors cost nothing and log nothing.

    Args:
        max_samples: Test samples to measure at most, drawn by the seed.
        seed: Of all draws, so that the same model has the same scores.

    Raises:
        ValueError: If `max_samples` is below 2.
    """

    def __init__(self, max_samples: int = 10_000, seed: int = 0) -> None:
        self.scores = DisentanglementScores(max_samples, seed)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh."""
        self.scores.reset()
        self.scores.to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        assert isinstance(outputs, MixtureStep), "the step must return a contracts.MixtureStep"
        if batch.factors is not None:
            self.scores.update(outputs.posterior, batch.index, batch.factors)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the scores, which are equal on all ranks; sync_dist tells Lightning so."""
        if self.scores.update_count:
            values = {f"test/{name}": value for name, value in self.scores.compute().items()}
            pl_module.log_dict(values, sync_dist=True)
        self.scores.reset()
