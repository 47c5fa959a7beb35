"""Measures a mixture model on validation and test data, and warns of a collapse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from mixvae.callbacks.collecting import logged_rows, spec_of
from mixvae.callbacks.measuring import AbstractMeasuring, log_values
from mixvae.callbacks.settings import check_least
from mixvae.contracts import Balanced, Batch, DataSpec, MixtureModel, MixtureStep
from mixvae.evaluation.health import diagnose_collapse
from mixvae.evaluation.mixture import MixtureEvaluation
from mixvae.files import last_values
from mixvae.messages import inform, warn


class Evaluation(AbstractMeasuring[MixtureEvaluation]):
    """Log `val/...` and `test/...` of a `contracts.MixtureModel`, labels for measuring only.

    Args:
        patience_epochs: Epochs to train before a collapse is worth a warning, and longer while the
            model's schedules change its weights; a young posterior is flat.
            `val/collapse_warning` is logged from the first epoch all the same.
        dirpath: Folder of metrics.csv, whose training terms let a warning name the cause.
    """

    def __init__(self, patience_epochs: int = 5, dirpath: str | None = None) -> None:
        check_least("evaluation", 0, patience_epochs=patience_epochs)
        self.patience_epochs = patience_epochs
        self.dirpath = None if dirpath is None else Path(dirpath)
        self._first_reconstruction: float | None = None
        self._collapsed = False
        # Epoch in which the tested weights were saved; None for those at hand.
        self._tested_epoch: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to warn as an uninterrupted one."""
        first, collapsed = self._first_reconstruction, self._collapsed
        return {"first_reconstruction": first, "collapsed": collapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._first_reconstruction = state_dict["first_reconstruction"]
        self._collapsed = state_dict["collapsed"]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the epoch of the weights to test."""
        self._tested_epoch = int(checkpoint["epoch"]) if trainer.testing else None

    def new_metric(self, trainer: Trainer, model: Any) -> MixtureEvaluation:
        """Return an empty metric of the model's size."""
        assert isinstance(model, MixtureModel)
        return MixtureEvaluation(
            model.num_agents,
            model.num_categories,
            spec_of(trainer, DataSpec).num_classes,
            model.category_mask,
            model.can_decode,
        )

    def update(self, step: Any, batch: Batch) -> None:
        """Add a batch."""
        assert isinstance(step, MixtureStep), "the step must return a contracts.MixtureStep"
        self.metric.update(step, batch.label)

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Log the measures and warn if the categories have collapsed."""
        computed = self.metric.compute()
        log_values(model, split, computed)
        values = {name: value.item() for name, value in computed.items()}
        if split == "test":
            reason = self._diagnose(model, values)
            if reason is not None:
                warn(f"collapse warning on the test data: {reason}")
            return
        if self._first_reconstruction is None:
            self._first_reconstruction = values.get("reconstruction")
        if trainer.current_epoch + 1 >= self._patience(model):
            self._warn_on_change(trainer.current_epoch + 1, self._diagnose(model, values))

    def _patience(self, model: LightningModule) -> float:
        """Epochs after which the weights of the objective have had their time."""
        return max(float(self.patience_epochs), getattr(model, "settled_epoch", 0.0) + 1)

    def _youth(self, model: LightningModule) -> str | None:
        """Why these weights are too young to judge; None if they are not."""
        tested, trainer = self._tested_epoch, model.trainer
        # After the last epoch the trainer has counted it already.
        trained = trainer.current_epoch + (not trainer.testing)
        epochs = trained if tested is None else tested + 1
        patience = self._patience(model)
        if epochs >= patience:
            return None
        settled = getattr(model, "settled_epoch", 0.0)
        ends = f"the schedules end at epoch {settled:g}, and " if epochs < settled else ""
        return (
            f"likely cause: {ends}the weights are from epoch {epochs}; train {patience:g} epochs or"
            " more before judging the categories"
        )

    def _diagnose(self, model: LightningModule, values: dict[str, float]) -> str | None:
        if not values["collapse_warning"]:
            return None
        reconstruction = None
        if self._first_reconstruction is not None:
            reconstruction = (self._first_reconstruction, values["reconstruction"])
        return diagnose_collapse(
            entropy=values["entropy"],
            populated=round(values["populated_by_agents"]),
            num_categories=round(values["kept_categories"]),
            reconstruction=reconstruction,
            balance=model.balance() if isinstance(model, Balanced) else None,
            terms=self._training_terms(),
            youth=self._youth(model),
        )

    def _training_terms(self) -> dict[str, float]:
        """Return the terms of the last training epoch before these weights."""
        rows = [] if self.dirpath is None else logged_rows(self.dirpath)
        if self._tested_epoch is not None:
            rows = [row for row in rows if row["epoch"] and int(row["epoch"]) < self._tested_epoch]
        values = last_values(rows)
        return {n.removeprefix("train/"): v for n, v in values.items() if n.startswith("train/")}

    def _warn_on_change(self, epochs: int, reason: str | None) -> None:
        collapsed = reason is not None
        if collapsed and not self._collapsed:
            warn(f"collapse warning after epoch {epochs}: {reason}")
        elif self._collapsed and not collapsed:
            inform(f"collapse over after epoch {epochs}: the categories are in use again")
        self._collapsed = collapsed
