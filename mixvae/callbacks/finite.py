"""Stops training at a loss that is no longer a number, and says where it happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class FiniteLoss(Callback):
    """Raise at a loss that is NaN or infinite, naming the step and the terms that are.

    Expects the training step to return `{"loss": ..., "terms": {name: mean over the batch}}`; the
    terms may be missing. On a CPU every step is looked at. On other devices the first bad step is
    noted there and read every `every_n_steps`, since reading makes the CPU wait for the device.
    Epochs end with a look in any case, so that no checkpoint is written of a broken state.

    Args:
        every_n_steps: How often to look, in steps, where the loss is not on the CPU.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        if every_n_steps < 1:
            raise ValueError(
                f"callbacks.finite.every_n_steps must be 1 or more, got {every_n_steps}"
            )
        self.every_n_steps = every_n_steps
        self._names: tuple[str, ...] = ()
        self._bad_step: Tensor | None = None
        self._bad_terms: Tensor | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start afresh."""
        self._names, self._bad_step, self._bad_terms = (), None, None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note whether this step was the first bad one, and look now and then."""
        if outputs is None:
            return
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        terms = outputs.get("terms", {}) if isinstance(outputs, Mapping) else {}
        # The optimiser has already stepped: this step's number is one less.
        step = trainer.global_step - 1
        if loss.device.type == "cpu":
            if not torch.isfinite(loss):
                bad = [name for name, value in terms.items() if not torch.isfinite(value).all()]
                self._raise(step, bad)
            return
        self._note(loss, terms, step)
        if (batch_idx + 1) % self.every_n_steps == 0:
            self._look()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before anything is concluded from the weights."""
        self._look()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the epoch counts as done."""
        self._look()

    def _note(self, loss: Tensor, terms: Mapping[str, Tensor], step: int) -> None:
        """Remember on the device the first bad step and its bad terms, without reading them."""
        bad_terms = torch.stack(
            [loss.new_zeros((), dtype=torch.bool)]
            + [~torch.isfinite(value).all() for value in terms.values()]
        )
        if self._bad_step is None or self._bad_terms is None:
            self._bad_step = torch.full((), -1, device=loss.device)
            self._bad_terms = torch.zeros_like(bad_terms)
        self._names = tuple(terms)
        first = (self._bad_step < 0) & ~torch.isfinite(loss)
        self._bad_terms = torch.where(first, bad_terms, self._bad_terms)
        self._bad_step = torch.where(first, step, self._bad_step)

    def _look(self) -> None:
        if self._bad_step is None or self._bad_terms is None:
            return
        step = int(self._bad_step)
        if step >= 0:
            flags = self._bad_terms[1:].tolist()
            self._raise(step, [name for name, bad in zip(self._names, flags, strict=True) if bad])

    def _raise(self, step: int, terms: list[str]) -> None:
        where = f"in the term{'s' if len(terms) > 1 else ''} {', '.join(terms)}" if terms else ""
        raise FloatingPointError(
            f"the loss became NaN or infinite at step {step}"
            f"{' ' + where if where else ' (each term alone is finite, or none is known)'};"
            " the last good checkpoint is kept; a smaller learning rate or gradient_clip_val"
            " may help"
        )
