"""Runs of models and data that keep no contract of mixvae: what needs one steps aside."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from mixvae.callbacks.copies import CopyFigures
from mixvae.callbacks.lightning_parts import callbacks_of
from mixvae.callbacks.measuring import AbstractMeasuring
from mixvae.contracts import MixtureModel, MultimodalModel
from mixvae.messages import inform
from mixvae.modules.base import AbstractModule


def step_aside(trainer: Trainer, model: LightningModule, data: Any) -> None:
    """Take the callbacks out that a foreign model or data set cannot serve, and log one line.

    Models and data of mixvae are left as they are: what does not fit them is an error.
    """
    known = isinstance(model, AbstractModule | MixtureModel | MultimodalModel)
    if known and hasattr(data, "spec"):
        return
    callbacks = callbacks_of(trainer)
    out = [one for one in callbacks if isinstance(one, AbstractMeasuring | CopyFigures)]
    if not out:
        return
    callbacks[:] = [one for one in callbacks if one not in out]
    names = ", ".join(type(one).__name__ for one in out)
    reason = (
        f"data {type(data).__name__} have no `spec`"
        if known
        else f"model {type(model).__name__} keeps none of mixvae's contracts"
    )
    inform(f"{names} step aside: {reason} (docs/extend.md)")
