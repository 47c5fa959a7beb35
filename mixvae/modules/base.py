"""What every LightningModule of mixvae shares: optimiser, time in epochs, and per-epoch logs.

A new term of an objective is three edits: its weight in the constructor; its factor in `weights`
and value in `terms`, or in `shared_terms` if validation measures it too; its key in `conf/model`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim.optimizer import ParamsT

from mixvae.contracts import Adversary, Batch, MultimodalBatch
from mixvae.logging_schedule import is_logged
from mixvae.networks.components import PrincipalComponents
from mixvae.objectives.batch_effects import batch_effects
from mixvae.objectives.schedules import Constant, Schedule, as_schedule, settled_epoch
from mixvae.objectives.terms import Terms

# Samples that layers are fitted to before training; 30 components gain nothing from more.
MAX_FITTED = 5000
SETTLED = float("inf")
"""The epoch at which every schedule has reached its last value."""
OptimizerFactory = Callable[[ParamsT], torch.optim.Optimizer]
BatchT = TypeVar("BatchT", bound=Batch | MultimodalBatch)
Moment = tuple[float, ...] | None
"""The numbers that a step takes from the host beside its batch; None if it takes more."""


class AbstractModule(LightningModule, ABC, Generic[BatchT]):
    """Trains on `terms(batch)`, weighted by `weights(epoch)`.

    Validation and test steps may return a record, which Lightning's types do not foresee: only
    callbacks read it.

    Args:
        learning_rate: Factor on the optimiser's learning rate, a number or a schedule over epochs.
    """

    def __init__(self, optimizer: OptimizerFactory, learning_rate: float | Schedule = 1.0) -> None:
        super().__init__()
        self.optimizer_factory = optimizer
        self.learning_rate = weight_schedule("learning_rate", learning_rate)
        # Sums over the steps of an epoch, by the names of their terms.
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._num_batches = 0
        # Settings that `choose` chose, by their keys, with the reasons, as plain values.
        self.choices: dict[str, dict[str, Any]] = {}

    @classmethod
    def load_from_checkpoint(
        cls, checkpoint_path: Any, map_location: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Load a trained model from a checkpoint in its run folder, in evaluation mode.

        Networks, likelihood and optimiser are those of the run's config. Further arguments, if
        given, go to Lightning's own method, which builds the model from them.

        Args:
            map_location: Device to load it on, such as `cpu`; None: the run's, where there is one.

        Raises:
            ValueError: If the checkpoint lies in no run folder and no arguments are given, or if it
                is of another class.
        """
        if args or kwargs:
            return super().load_from_checkpoint(checkpoint_path, map_location, *args, **kwargs)
        # By name: a model knows no runs, and only this door leads to one.
        model = import_module("mixvae.runs.opening").load_model(checkpoint_path)
        if not isinstance(model, cls):
            raise ValueError(
                f"{checkpoint_path} is of the model {type(model).__name__}, not {cls.__name__}"
            )
        return model if map_location is None else model.to(map_location)

    @abstractmethod
    def weights(self, epoch: float) -> dict[str, float]:
        """Factor of each term in the loss at an epoch, by the term's name; below 0 is a reward.

        Training, the settled loss and the balance all read the factors here.
        """

    @abstractmethod
    def terms(self, batch: BatchT) -> Terms:
        """The named terms of the training objective on a batch."""

    def prepare(self, batches: Collection[BatchT]) -> None:
        """Fit layers such as principal components to the training data before training.

        Args:
            batches: The training data in order, all of it in every process. Read only if a layer
                asks for it; at most 5,000 samples are used.
        """
        layers = [layer for layer in self.modules() if isinstance(layer, PrincipalComponents)]
        if not layers:
            return
        x, covariates = _spread(batches)
        for layer in layers:
            if layer.alignment is None or covariates is None:
                layer.fit(x)
            else:
                batch = covariates[:, : layer.alignment.num_batches]
                layer.fit(x, batch)
                layer.alignment.load(batch_effects(layer.project(x), batch)._asdict())

    def choose(self, train: Collection[BatchT], val: Collection[BatchT], steps: int) -> None:
        """Choose settings that are left to the data, before training; put them in `choices`.

        Args:
            train: The training data in order, all of it in every process.
            val: The validation data likewise.
            steps: Most steps of a trial training.
        """

    def check(self, batch: BatchT) -> None:
        """Raise ValueError if a batch of the training data cannot be modelled."""

    def check_epochs(self, max_epochs: int) -> None:
        """Raise ValueError if the training ends before a schedule does."""

    def losses(self, objective: Tensor, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is logged as `loss`, in nats per agent and sample; here the objective itself.

        A model whose objective is no bound, or a sum over agents, logs a loss that can be compared
        over epochs, and the objective beside it as `objective`.

        Args:
            objective: The loss that is optimised, a scalar.
            terms: The terms' means, see `Terms.means`.
        """
        return {"loss": objective}

    @property
    def settled_epoch(self) -> float:
        """The epoch from which every weight of the objective keeps its value."""
        return max((settled_epoch(getattr(self, name)) for name in self._schedules), default=0.0)

    @property
    def epoch(self) -> float:
        """Time since the start of training, in epochs, with the fraction of the present one."""
        if self._trainer is None:
            return 0.0
        # A trainer that only evaluates has an infinite number of training batches.
        fraction = self._num_batches / max(1.0, float(self.trainer.num_training_batches))
        return self.current_epoch + min(fraction, 1.0)

    def moment(self) -> Moment:
        """The numbers that Python passes to a step now: the values of all schedules but the rate's.

        Two steps at equal moments launch the same work on the device. A model that branches on
        more adds it; a model that computes on the host returns None.
        """
        epoch = self.epoch
        return tuple(getattr(self, name)(epoch) for name in self._schedules)

    @cached_property
    def _schedules(self) -> tuple[str, ...]:
        """Names of the schedules, found once: checking each attribute takes 3 ms."""
        found = [name for name, value in vars(self).items() if isinstance(value, Schedule)]
        return tuple(name for name in found if name != "learning_rate")

    def training_step(self, batch: BatchT, batch_idx: int) -> dict[str, Any]:
        """The loss of a batch, and its terms, detached."""
        terms = self.terms(batch)
        loss = terms.total()
        # Lightning divides `loss` if gradients are accumulated over several batches.
        return {"loss": loss, "total": loss.detach(), "terms": terms.means()}

    def on_train_batch_end(self, outputs: Any, batch: BatchT, batch_idx: int) -> None:
        """Add up the terms of a step on their device: logging a value costs 0.4 ms."""
        torch.set_flush_denormal(False)
        names = tuple(outputs["terms"])
        values = torch.stack([outputs["total"], *outputs["terms"].values()])
        self._sums[names] = self._sums[names] + values if names in self._sums else values
        self._num_batches += 1

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums afresh."""
        self._sums, self._num_batches = {}, 0

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean of each term, and `losses`, as `train/<term>`."""
        if not is_logged(self.trainer, self.current_epoch):
            return
        totals: dict[str, Tensor] = {}
        for names, sums in self._sums.items():
            for name, value in zip(("loss", *names), sums.unbind(), strict=True):
                totals[name] = totals[name] + value if name in totals else value
        means = {name: total / max(self._num_batches, 1) for name, total in totals.items()}
        logged = {**self.losses(means.pop("loss"), means), **means} if means else {}
        self.log_dict({f"train/{name}": value for name, value in logged.items()}, sync_dist=True)

    def on_train_batch_start(self, batch: BatchT, batch_idx: int) -> None:
        """Set the present learning rate: a function of time alone, so resuming is exact."""
        # Confident categories have probabilities below 1e-38, with which a CPU computes many times
        # slower than with 0. In steps only: elsewhere NumPy warns of it.
        torch.set_flush_denormal(True)
        factor = self.learning_rate(self.epoch)
        for group in self.trainer.optimizers[0].param_groups:
            rate = group["initial_lr"] * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    @property
    def _optimizer(self) -> torch.optim.Optimizer | None:
        """The one that trains; none before training."""
        return self.trainer.optimizers[0] if self.trainer.optimizers else None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser; its learning rates are kept as `initial_lr` for the schedule."""
        optimizer = self.optimizer_factory(self.parameters())
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        return optimizer


def weight_schedule(name: str, value: float | Schedule) -> Schedule:
    """A weight of the objective, named as in the config, as a schedule."""
    return as_schedule(value, name=f"model.{name}", at_least=0)


def plain_number(
    name: str, value: float, *, at_least: float | None = None, above: float | None = None
) -> float:
    """A setting without a schedule, named as in the config.

    Raises:
        ValueError: If it is a schedule, not finite, below `at_least`, or not above `above`.
    """
    schedule = as_schedule(value, name=f"model.{name}", at_least=at_least, above=above)
    if not isinstance(schedule, Constant):
        raise ValueError(f"model.{name} must be a number, not a schedule")
    return schedule.value


def check_adversary(adversary: Adversary | None, weight: Schedule) -> None:
    """Raise ValueError if the adversarial term has a weight but no adversary."""
    if adversary is None and max(weight(0.0), weight(SETTLED)) > 0:
        raise ValueError("model.adversarial_weight is above 0, so model.adversary is needed")


@runtime_checkable
class _Thinnable(Protocol):
    """Batches whose loader can read some rows without the others."""

    def thinned(self, count: int) -> Collection[Any]:
        """Return batches of about `count` rows, an equal share of each batch."""
        ...


def spread_samples(batches: Collection[Batch | MultimodalBatch]) -> Tensor:
    """At most about 5,000 samples, an equal share of each batch, shape (N, *shape)."""
    return _spread(batches)[0]


def _spread(batches: Collection[Batch | MultimodalBatch]) -> tuple[Tensor, Tensor | None]:
    """The samples of `spread_samples` and their covariates, (N, V), where they have some."""
    share = -(-MAX_FITTED // len(batches))
    # A loader that can reads these rows alone, which are then all of its batches.
    batches = batches.thinned(MAX_FITTED) if isinstance(batches, _Thinnable) else batches
    parts, covariates = [], []
    for batch in batches:
        assert isinstance(batch.x, Tensor), "samples of several modalities are not one array"
        # A view would keep the whole batch in memory.
        step = -(-len(batch.x) // share)
        parts.append(batch.x[::step].clone())
        beside = getattr(batch, "covariates", None)
        covariates += [] if beside is None else [beside[::step].clone()]
    return torch.cat(parts), torch.cat(covariates) if covariates else None
