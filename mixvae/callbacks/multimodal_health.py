"""Warns while a training of several modalities goes wrong, naming the setting that mends it."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from mixvae.callbacks.collecting import spec_of
from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.callbacks.measuring import AbstractMeasuring, log_values
from mixvae.callbacks.settings import check_least
from mixvae.contracts import (
    UNSCALED,
    ModalitySpec,
    MultimodalBatch,
    MultimodalModel,
    MultimodalSpec,
    MultimodalStep,
)
from mixvae.evaluation.multimodal_health import (
    LatentHealth,
    Losses,
    diagnose_events,
    diagnose_latents,
)
from mixvae.messages import warn


class MultimodalHealth(AbstractMeasuring[LatentHealth]):
    """Log `val/effective_dimensions`, and warn once of each fault of latents, losses and events.

    Args:
        patience_epochs: Epochs to train before latents or losses are worth a warning.
    """

    model_kind = MultimodalModel

    def __init__(self, patience_epochs: int = 20) -> None:
        check_least("health", 0, patience_epochs=patience_epochs)
        self.patience_epochs = patience_epochs
        self._told: set[str] = set()

    def state_dict(self) -> dict[str, Any]:
        """Return the faults warned of."""
        return {"told": sorted(self._told)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._told = set(state_dict["told"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at which training events have which modalities."""
        names = _names(trainer)
        rows = torch.zeros(len(names), dtype=torch.int64)
        shared = 0
        for batch in datamodule_of(trainer).eval_dataloader("train"):
            rows += batch.present.sum(dim=0).cpu()
            shared += int((batch.present.sum(dim=1) > 1).sum())
        counts = torch.tensor([*rows.tolist(), shared], device=pl_module.device)
        *known, together = trainer.strategy.reduce(counts, reduce_op="sum").tolist()
        self._warn(diagnose_events(names, known, together), "")

    def new_metric(self, trainer: Trainer, model: Any) -> LatentHealth:
        """Return an empty metric of the model's size."""
        assert isinstance(model, MultimodalModel)
        self._model = model
        self._kinds = [modality.kind for modality in _modalities(trainer)]
        return LatentHealth(model.num_modalities, model.latent_dim)

    def update(self, step: Any, batch: MultimodalBatch) -> None:
        """Add a batch."""
        assert isinstance(step, MultimodalStep), "the step must return a MultimodalStep"
        posterior, model = step.posterior, self._model
        self.metric.update(posterior.mean, batch.present)
        if model.private_dim:
            return  # `decode` leaves out what is private
        for m in range(model.num_modalities):
            here = batch.present[:, m]
            latent = posterior.mean[m] if posterior.joint_mean is None else posterior.joint_mean
            x = batch.x[m][here]
            if self._kinds[m] == "tokens":  # padding, all 0, is in no loss
                x = x.masked_fill(x.sum(dim=-1, keepdim=True) == 0, torch.nan)
            self.metric.update_decoded(m, model.decode(latent[here], m), x)

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Log the effective dimensions, and warn of what is wrong."""
        if split != "val":
            return
        measured = self.metric.compute()
        dimensions = measured["dimensions"]
        if not bool(dimensions.isnan().all()):
            log_values(model, "val", {"effective_dimensions": dimensions.nanmean()})
        if trainer.current_epoch + 1 < self.patience_epochs:
            return
        names, logged = _names(trainer), trainer.callback_metrics
        values = {name: float(value) for name, value in logged.items()}
        found = diagnose_latents(
            names,
            dimensions.tolist(),
            measured["explained"].tolist(),
            self._model.latent_dim,
            Losses(_regularisers(values), _reconstructions(values, names, model)),
            [item.name for item in _modalities(trainer) if item.kind in UNSCALED],
        )
        self._warn(found, f"after epoch {trainer.current_epoch + 1}: ")

    def _warn(self, found: dict[str, str], when: str) -> None:
        for fault, sentence in found.items():
            if fault not in self._told:
                self._told.add(fault)
                warn(f"{when}{sentence}")


def _regularisers(values: dict[str, float]) -> tuple[float, float] | None:
    """The weighted regulariser in training and validation, by what the model logs of its terms."""
    parts = ("train/loss", "train/reconstruction", "val/loss", "val/objective_reconstruction")
    if not all(part in values for part in parts):
        return None
    loss, reconstruction, val_loss, val_reconstruction = (values[part] for part in parts)
    return loss - reconstruction, val_loss - val_reconstruction


def _reconstructions(
    values: dict[str, float], names: list[str], model: LightningModule
) -> dict[str, float]:
    weights = getattr(model, "modality_weights", torch.ones(len(names))).flatten().tolist()
    known = {name: values.get(f"val/reconstruction/{name}") for name in names}
    return {
        name: weight * value
        for weight, (name, value) in zip(weights, known.items(), strict=True)
        if value is not None
    }


def _modalities(trainer: Trainer) -> tuple[ModalitySpec, ...]:
    return spec_of(trainer, MultimodalSpec).modalities


def _names(trainer: Trainer) -> list[str]:
    return [modality.name for modality in _modalities(trainer)]
