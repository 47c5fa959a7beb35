"""Measures a mixture model on validation and test data, and warns of a collapse."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mixvae.contracts import Balanced, Batch, DataSpec, MixtureModel, MixtureStep
from mixvae.evaluation.health import diagnose_collapse
from mixvae.evaluation.mixture import MixtureEvaluation
from mixvae.logging_schedule import is_told
from mixvae.messages import inform, warn


def data_spec(trainer: Trainer) -> DataSpec:
    """Return the specification of the data module at work.

    Args:
        trainer: The trainer.

    Returns:
        The data module's `spec`.

    Raises:
        ValueError: If the trainer was given data loaders and no data module.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if datamodule is None:
        raise ValueError(
            "the evaluation needs a data module with a `spec`, but the trainer has none;"
            " call trainer.fit or trainer.test with datamodule=..."
        )
    spec = datamodule.spec
    assert isinstance(spec, DataSpec)
    return spec


class Evaluation(Callback):
    """Log `val/...` and `test/...` of a `contracts.MixtureModel`, labels for measuring only.

    Args:
        patience_epochs: Epochs to train before a collapse is worth a warning; a young posterior
            is flat. `val/collapse_warning` is logged from the first epoch all the same.
    """

    def __init__(self, patience_epochs: int = 5) -> None:
        if patience_epochs < 0:
            raise ValueError(f"patience_epochs must be 0 or more; got {patience_epochs}")
        self.patience_epochs = patience_epochs
        self._metric: MixtureEvaluation | None = None
        self._first_reconstruction: float | None = None
        self._collapsed = False
        self._terms: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to warn as an uninterrupted one."""
        return {
            "first_reconstruction": self._first_reconstruction,
            "collapsed": self._collapsed,
            "terms": self._terms,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._first_reconstruction = state_dict["first_reconstruction"]
        self._collapsed = state_dict["collapsed"]
        self._terms = state_dict.get("terms", {})

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch before, of which a validation tells also when a stop lay between."""
        if is_told(trainer, trainer.current_epoch - 1):
            self._training_terms(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the last epoch."""
        self._training_terms(trainer)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a fresh accumulation."""
        self._start(trainer, pl_module)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a fresh accumulation."""
        self._start(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        self._update(outputs, batch)

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
        self._update(outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the measures and speak up if the categories have collapsed."""
        if trainer.sanity_checking:
            return
        values = self._log("val", pl_module)
        if self._first_reconstruction is None:
            self._first_reconstruction = values.get("reconstruction")
        if trainer.current_epoch + 1 >= self.patience_epochs:
            self._warn_on_change(trainer, pl_module, values)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the measures and say whether the categories have collapsed."""
        values = self._log("test", pl_module)
        reason = self._diagnose(trainer, pl_module, values)
        if reason is not None:
            warn(f"collapse warning on the test data: {reason}")

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, MixtureModel), "evaluation needs a contracts.MixtureModel"
        metric = MixtureEvaluation(
            pl_module.num_agents,
            pl_module.num_categories,
            data_spec(trainer).num_classes,
            pl_module.category_mask,
            pl_module.can_decode,
        )
        self._metric = metric.to(pl_module.device)

    def _update(self, outputs: Any, batch: Batch) -> None:
        assert isinstance(outputs, MixtureStep), "the step must return a contracts.MixtureStep"
        assert self._metric is not None
        self._metric.update(outputs, batch.label)

    def _log(self, split: str, pl_module: LightningModule) -> dict[str, float]:
        assert self._metric is not None
        values = self._metric.compute()
        # The values are equal on all ranks already; sync_dist tells Lightning so.
        pl_module.log_dict(
            {f"{split}/{name}": value for name, value in values.items()}, sync_dist=True
        )
        return {name: value.item() for name, value in values.items()}

    def _diagnose(
        self, trainer: Trainer, pl_module: LightningModule, values: dict[str, float]
    ) -> str | None:
        assert isinstance(pl_module, MixtureModel)
        reconstruction = None
        if self._first_reconstruction is not None:
            reconstruction = (self._first_reconstruction, values["reconstruction"])
        return diagnose_collapse(
            entropy=values["entropy"],
            populated=round(values["populated_by_agents"]),
            num_categories=round(values["kept_categories"]),
            reconstruction=reconstruction,
            balance=pl_module.balance() if isinstance(pl_module, Balanced) else None,
            terms=self._training_terms(trainer),
        )

    def _training_terms(self, trainer: Trainer) -> dict[str, float]:
        """The terms of the last training epoch, which a test after it no longer finds."""
        logged = {
            name.removeprefix("train/"): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("train/")
        }
        self._terms = logged or self._terms
        return self._terms

    def _warn_on_change(
        self, trainer: Trainer, pl_module: LightningModule, values: dict[str, float]
    ) -> None:
        reason = self._diagnose(trainer, pl_module, values)
        collapsed = reason is not None
        if collapsed != self._collapsed:
            epoch = pl_module.current_epoch + 1
            if collapsed:
                warn(f"collapse warning after epoch {epoch}: {reason}")
            else:
                inform(f"collapse over after epoch {epoch}: the categories are in use again")
        self._collapsed = collapsed
