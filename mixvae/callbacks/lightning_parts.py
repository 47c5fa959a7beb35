"""Attributes of a trainer and a model that Lightning's types lack or widen."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return a trainer's callbacks: the very list, so that more can be added."""
    return trainer.callbacks  # type: ignore[attr-defined]


def datamodule_of(trainer: Trainer) -> Any:
    """Return the data module of a trainer that has begun; None if it was given only loaders."""
    return trainer.datamodule  # type: ignore[attr-defined]


def is_debugging(trainer: Trainer) -> bool:
    """Whether the trainer only tries out a few batches, which are not worth a file."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def place_of(model: LightningModule) -> tuple[torch.device, torch.dtype]:
    """Return the device and the type of number that a model computes with."""
    dtype = model.dtype
    assert isinstance(dtype, torch.dtype), "Lightning allows its name, which it never keeps"
    return model.device, dtype
