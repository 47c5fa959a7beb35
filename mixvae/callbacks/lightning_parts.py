"""What a trainer and a model have, though Lightning's types do not say so or say too much."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return a trainer's callbacks: the very list, so that more can be added.

    Args:
        trainer: The trainer.
    """
    return trainer.callbacks  # type: ignore[attr-defined]


def datamodule_of(trainer: Trainer) -> Any:
    """Return the data module at work, None where there are only loaders.

    Args:
        trainer: A trainer that has begun to fit or test.
    """
    return trainer.datamodule  # type: ignore[attr-defined]


def is_debugging(trainer: Trainer) -> bool:
    """Whether the trainer only tries out a few batches, which are not worth a file.

    Args:
        trainer: The trainer.
    """
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def place_of(model: LightningModule) -> tuple[torch.device, torch.dtype]:
    """Return the device and the type of number that a model computes with.

    Args:
        model: The model.
    """
    dtype = model.dtype
    assert isinstance(dtype, torch.dtype), "the name of one, which Lightning allows, is never kept"
    return model.device, dtype
