"""What every LightningModule of mixvae shares: optimiser, time in epochs, and per-epoch logs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim.optimizer import ParamsT

from mixvae.contracts import Batch, MultimodalBatch
from mixvae.logging_schedule import is_logged
from mixvae.networks.components import PrincipalComponents
from mixvae.objectives.schedules import Schedule, as_schedule
from mixvae.objectives.terms import Terms

# Samples that layers are fitted to before training; more tell nothing new of 30 components.
MAX_FITTED = 5000
OptimizerFactory = Callable[[ParamsT], torch.optim.Optimizer]
BatchT = TypeVar("BatchT", bound=Batch | MultimodalBatch)
Moment = tuple[float, ...] | None
"""What a step takes from the host beside its batch; None where it takes more than numbers."""


class AbstractModule(LightningModule, ABC, Generic[BatchT]):
    """Trains on `terms(batch)`; its subclasses are final and say what the terms are.

    What a subclass returns of a validation or test goes to callbacks alone. So it may be a record,
    which Lightning's types do not foresee.

    Args:
        optimizer: Builds the optimiser from the parameters.
        learning_rate: Factor on the optimiser's learning rate, a number or a schedule over epochs.
    """

    def __init__(self, optimizer: OptimizerFactory, learning_rate: float | Schedule = 1.0) -> None:
        super().__init__()
        self.optimizer_factory = optimizer
        self.learning_rate = as_schedule(learning_rate, name="model.learning_rate", at_least=0)
        # Of the steps of an epoch whose terms have the same names, by these names.
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._num_batches = 0

    @abstractmethod
    def terms(self, batch: BatchT) -> Terms:
        """The named terms of the training objective on a batch."""

    def prepare(self, batches: Collection[BatchT]) -> None:
        """Fit what the networks take from the training data before training, such as components.

        Args:
            batches: The training data in order, all of it in every process. Read only where a
                layer asks for it, and at most 5,000 samples of it are used.
        """
        layers = [layer for layer in self.modules() if isinstance(layer, PrincipalComponents)]
        if not layers:
            return
        x = spread_samples(batches)
        for layer in layers:
            layer.fit(x)

    def check(self, batch: BatchT) -> None:
        """Raise ValueError where a batch of the training data cannot be modelled."""

    def check_epochs(self, max_epochs: int) -> None:
        """Raise ValueError where a schedule would not come to its end within the training."""

    @property
    def epoch(self) -> float:
        """Time since the start of training, in epochs, with the fraction of the present one."""
        if self._trainer is None:
            return 0.0
        # The trainer's number of batches is infinite where it only evaluates.
        fraction = self._num_batches / max(1.0, float(self.trainer.num_training_batches))
        return self.current_epoch + min(fraction, 1.0)

    def moment(self) -> Moment:
        """The numbers that Python passes to a step of now, all but the learning rate.

        Two steps at equal moments launch the same work on the device. Here the values of all
        schedules; a model that branches on more adds it, and one that computes on the host is None.
        """
        epoch = self.epoch
        return tuple(getattr(self, name)(epoch) for name in self._schedules)

    @cached_property
    def _schedules(self) -> tuple[str, ...]:
        """Names of the schedules, found once: to ask each attribute for a protocol takes 3 ms."""
        found = [name for name, value in vars(self).items() if isinstance(value, Schedule)]
        return tuple(name for name in found if name != "learning_rate")

    def training_step(self, batch: BatchT, batch_idx: int) -> dict[str, Any]:
        """The loss of a batch, and its terms detached, for whoever watches them."""
        terms = self.terms(batch)
        loss = terms.total()
        # Lightning divides `loss` where several batches make a step.
        return {"loss": loss, "total": loss.detach(), "terms": terms.means()}

    def on_train_batch_end(self, outputs: Any, batch: BatchT, batch_idx: int) -> None:
        """Add up what the step returned, on its device: logging a value costs 0.4 ms."""
        names = tuple(outputs["terms"])
        values = torch.stack([outputs["total"], *outputs["terms"].values()])
        self._sums[names] = self._sums[names] + values if names in self._sums else values
        self._num_batches += 1

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums afresh."""
        self._sums, self._num_batches = {}, 0

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean of each term as `train/<term>` in the epochs that log them."""
        if not is_logged(self.trainer, self.current_epoch):
            return
        totals: dict[str, Tensor] = {}
        for names, sums in self._sums.items():
            for name, value in zip(("loss", *names), sums.unbind(), strict=True):
                totals[name] = totals[name] + value if name in totals else value
        count = max(self._num_batches, 1)
        means = {f"train/{name}": total / count for name, total in totals.items()}
        self.log_dict(means, sync_dist=True)

    def on_train_batch_start(self, batch: BatchT, batch_idx: int) -> None:
        """Set the learning rate of this moment: a function of time alone, so resuming is exact."""
        factor = self.learning_rate(self.epoch)
        for group in self.trainer.optimizers[0].param_groups:
            rate = group["initial_lr"] * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser; its learning rates are kept as `initial_lr` for the schedule."""
        optimizer = self.optimizer_factory(self.parameters())
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        return optimizer


def spread_samples(batches: Collection[Batch | MultimodalBatch]) -> Tensor:
    """At most about 5,000 samples, an equal share of each batch, shape (N, *shape).

    Args:
        batches: The training data in order.
    """
    share = -(-MAX_FITTED // len(batches))
    parts = []
    for batch in batches:
        assert isinstance(batch.x, Tensor), "samples of several modalities are no one array"
        parts.append(batch.x[:: -(-len(batch.x) // share)])
    return torch.cat(parts)
