"""What callbacks share that need the inference of the whole test set at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mixvae.contracts import Batch, MixtureStep
from mixvae.evaluation.predictions import PredictionCollector, PredictionTable


def tested_split(datamodule: object) -> str:
    """Return the split that a test is of: `test`, unless the data module was told another one.

    Args:
        datamodule: A data module; its `predict_split` is looked at, if it has one.
    """
    return str(getattr(datamodule, "predict_split", "test"))


def samples_tested(datamodule: object) -> str:
    """Say in words what samples a test is of, for the axes of figures.

    Args:
        datamodule: A data module; its `predict_split` is looked at, and `tests_on_training`, by
            which one says that its test samples are those that it trains on.
    """
    split = tested_split(datamodule)
    if split == "train" or getattr(datamodule, "tests_on_training", False):
        return "samples trained on"
    return "validation samples" if split == "val" else "held-out samples"


class AbstractPredictionCallback(Callback):
    """Collects the predictions of a test over batches and ranks; a subclass uses them at its end.

    Args:
        dirpath: Folder to write into, usually the run folder.
    """

    def __init__(self, dirpath: str) -> None:
        self.dirpath = Path(dirpath)
        self._collector = PredictionCollector()
        self._table: PredictionTable | None = None

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh."""
        self._collector = PredictionCollector().to(pl_module.device)

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
        self._collector.update(outputs.posterior, batch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather all ranks."""
        self._table = self._collector.compute()
        self._collector.reset()

    def take_table(self, trainer: Trainer) -> PredictionTable | None:
        """Hand the table over, once, on the first rank; None on the others."""
        table, self._table = self._table, None
        return table if trainer.is_global_zero else None
