"""Stops training when the loss is NaN or infinite, naming the step and the terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from mixvae.callbacks.settings import check_least


class _Step(NamedTuple):
    """Number, names of terms, and loss and terms, shape (1 + T,), of a training step."""

    number: int
    terms: tuple[str, ...]
    values: Tensor


class FiniteLoss(Callback):
    """Raise when the loss is NaN or infinite, naming the step and the terms.

    Expects the training step to return `{"loss": ..., "terms": {name: mean over the batch}}`; the
    terms may be missing. On a CPU every step is checked. On other devices, where reading makes the
    CPU wait, losses are kept and checked every `every_n_steps`, and before each validation and
    checkpoint, so that neither is of a broken state.

    Args:
        every_n_steps: Steps from one check to the next, if the loss is not on the CPU.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        check_least("finite", 1, every_n_steps=every_n_steps)
        self.every_n_steps = every_n_steps
        self._noted: list[_Step] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the steps of an earlier fit."""
        self._noted = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Keep the loss and terms of the step, and check them when due."""
        if outputs is None:
            return
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        terms = outputs.get("terms", {}) if isinstance(outputs, Mapping) else {}
        if loss.device.type == "cpu" and torch.isfinite(loss):
            return
        values = torch.stack([loss.detach(), *terms.values()])
        # global_step already counts this step.
        self._noted.append(_Step(trainer.global_step - 1, tuple(terms), values))
        if loss.device.type == "cpu" or len(self._noted) >= self.every_n_steps:
            self._check()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before the weights are measured."""
        self._check()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check before the weights are saved."""
        self._check()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before training counts as finished."""
        self._check()

    def _check(self) -> None:
        """Read the kept steps, and raise at the first bad one."""
        noted, self._noted = self._noted, []
        if not noted:
            return
        bad = (~torch.cat([step.values for step in noted]).isfinite()).tolist()
        for step in noted:
            (loss, *flags), bad = bad[: len(step.values)], bad[len(step.values) :]
            if loss:
                named = zip(step.terms, flags, strict=True)
                self._raise(step.number, [name for name, flag in named if flag])

    def _raise(self, step: int, terms: list[str]) -> None:
        where = f"in the term{'s' if len(terms) > 1 else ''} {', '.join(terms)}"
        raise FloatingPointError(
            f"the loss became NaN or infinite at step {step}"
            f" {where if terms else '(each term alone is finite, or none is known)'};"
            " the last good checkpoint is kept; a smaller learning rate or gradient_clip_val"
            " may help"
        )
