"""Stops training at a loss that is no longer a number, and says where it happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class _Step(NamedTuple):
    """A step's number, the names of its terms, and its loss and terms, shape (1 + T,)."""

    number: int
    terms: tuple[str, ...]
    values: Tensor


class FiniteLoss(Callback):
    """Raise at a loss that is NaN or infinite, naming the step and the terms that are.

    Expects the training step to return `{"loss": ..., "terms": {name: mean over the batch}}`; the
    terms may be missing. On a CPU every step is looked at. On other devices what steps returned is
    kept there and read every `every_n_steps`, since reading makes the CPU wait for the device; and
    before a validation and a checkpoint, so that none is of a broken state.

    Args:
        every_n_steps: How often to look, in steps, where the loss is not on the CPU.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        if every_n_steps < 1:
            raise ValueError(
                f"callbacks.finite.every_n_steps must be 1 or more, got {every_n_steps}"
            )
        self.every_n_steps = every_n_steps
        self._noted: list[_Step] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh."""
        self._noted = []

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note what the step returned, and look now and then."""
        if outputs is None:
            return
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        terms = outputs.get("terms", {}) if isinstance(outputs, Mapping) else {}
        if loss.device.type == "cpu" and torch.isfinite(loss):
            return
        values = torch.stack([loss.detach(), *terms.values()])
        # The optimiser has already stepped: this step's number is one less.
        self._noted.append(_Step(trainer.global_step - 1, tuple(terms), values))
        if loss.device.type == "cpu" or len(self._noted) >= self.every_n_steps:
            self._look()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before anything is concluded from the weights."""
        self._look()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look before the weights are kept."""
        self._look()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the run counts as done."""
        self._look()

    def _look(self) -> None:
        """Read the steps noted, and raise at the first bad one."""
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
        where = f"in the term{'s' if len(terms) > 1 else ''} {', '.join(terms)}" if terms else ""
        raise FloatingPointError(
            f"the loss became NaN or infinite at step {step}"
            f"{' ' + where if where else ' (each term alone is finite, or none is known)'};"
            " the last good checkpoint is kept; a smaller learning rate or gradient_clip_val"
            " may help"
        )
