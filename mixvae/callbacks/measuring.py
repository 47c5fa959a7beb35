"""The base of callbacks that measure a split, and ordered passes outside of Lightning's loops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.contracts import MixtureModel
from mixvae.evaluation.mixture import MixtureEvaluation

M = TypeVar("M", bound=Metric)


class AbstractMeasuring(Callback, ABC, Generic[M]):
    """Feeds each step of a validation or test to a metric, which gathers batches and ranks."""

    # The contract of the models that it measures; whether it measures validations, and tests.
    model_kind: ClassVar[type] = MixtureModel
    validates: bool = True
    tests: bool = True
    metric: M

    @abstractmethod
    def new_metric(self, trainer: Trainer, model: Any) -> M:
        """Return an empty metric."""

    @abstractmethod
    def update(self, step: Any, batch: Any) -> None:
        """Add what the model's step returned for a batch to the metric."""

    @abstractmethod
    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Use the metric of `val` or `test`, on all ranks, while metrics can be logged."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with an empty metric."""
        if self._measures(trainer):
            self.metric = self.new_metric(trainer, pl_module).to(pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        if self._measures(trainer):
            self.update(outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Conclude, except for Lightning's sanity check."""
        if self._measures(trainer) and not trainer.sanity_checking:
            self.conclude(trainer, pl_module, "test" if trainer.testing else "val")

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end

    def _measures(self, trainer: Trainer) -> bool:
        return self.tests if trainer.testing else self.validates


def log_values(model: LightningModule, prefix: str, values: Mapping[str, Tensor | float]) -> None:
    """Log `<prefix>/<name>`, equal on all ranks, in float64: a log equals the written table."""
    tensors = {
        f"{prefix}/{name}": value
        if isinstance(value, Tensor)
        else torch.tensor(value, dtype=torch.float64, device=model.device)
        for name, value in values.items()
    }
    # sync_dist does not change equal values; without it Lightning warns.
    model.log_dict(tensors, sync_dist=True)


class Measured(NamedTuple):
    """A mixture model on the training data.

    Attributes:
        occupancy: Samples in each category, summed over agents, shape (K,).
        joint: Samples per category of agent a and of agent b, shape (A, A, K, K).
    """

    values: dict[str, float]
    occupancy: NDArray[np.int64]
    joint: NDArray[np.int64]


@contextmanager
def evaluating(trainer: Trainer, model: LightningModule) -> Iterator[None]:
    """Put the model in evaluation mode and the trainer's precision, and restore its modes after."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with trainer.precision_plugin.val_step_context():
        yield
    for module, mode in modes.items():
        module.training = mode


def ordered_batches(trainer: Trainer, split: str, count: int | None = None) -> Iterator[Any]:
    """Yield this rank's batches of a split in order, in the trainer's device and precision.

    Args:
        count: About so many samples over all ranks, an equal share of each batch; None takes all.
    """
    loader = datamodule_of(trainer).eval_dataloader(split)
    if count is not None:
        loader = loader.thinned(max(1, count // trainer.world_size))
    for batch in loader:
        yield trainer.precision_plugin.convert_input(trainer.strategy.batch_to_device(batch))


@torch.no_grad()
def measure(trainer: Trainer, model: LightningModule) -> Measured:
    """Measure a mixture of at least two agents on the training data of all ranks.

    Every sample counts once, nothing random is drawn, and the result is the same on all ranks.
    """
    assert isinstance(model, MixtureModel)
    mask = model.category_mask
    metric = MixtureEvaluation(model.num_agents, model.num_categories, num_classes=0, mask=mask)
    metric.to(model.device)
    with evaluating(trainer, model):
        for index, batch in enumerate(ordered_batches(trainer, "train")):
            metric.update(model.predict_step(batch, index), batch.label)
    values = {name: value.item() for name, value in metric.compute().items()}
    with metric.sync_context():
        counts = metric.counts()
    return Measured(values, counts.occupancy[:-1].sum(axis=0), counts.joint)
