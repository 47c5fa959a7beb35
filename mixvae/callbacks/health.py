"""Stops a training whose loss or weights are no longer numbers, before a checkpoint is lost."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class NonFiniteLossError(ValueError):
    """The loss or the weights became NaN or infinite."""


class FiniteLoss(Callback):
    """Stop at the first loss that is NaN or infinite, naming the step and the terms.

    Losses are looked at together every few steps, since each look waits for the device; the error
    names the step where it began all the same. No checkpoint is saved before a look at the losses
    so far and at the weights, so the last one in the folder is good.

    Args:
        every_n_steps: Steps between looks.

    Raises:
        ValueError: If `every_n_steps` is below 1.
    """

    def __init__(self, every_n_steps: int = 20) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps must be 1 or more; got {every_n_steps}")
        self.every_n_steps = every_n_steps
        self._unseen: list[tuple[int, dict[str, Tensor]]] = []

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep the step's loss, and its terms where the training step returns `terms`."""
        values = {**outputs.get("terms", {}), "loss": outputs["loss"]}
        self._unseen.append((trainer.global_step, values))
        if len(self._unseen) >= self.every_n_steps:
            self._look()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the losses so far."""
        self._look()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to save what is no longer a model."""
        self._look()
        for name, value in pl_module.named_parameters():
            if not bool(torch.isfinite(value).all()):
                raise NonFiniteLossError(
                    f"after step {trainer.global_step} the weights {name} are no longer finite;"
                    " the checkpoints saved before are good; try a smaller learning rate"
                )

    def _look(self) -> None:
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        losses = torch.stack([values["loss"].detach() for _, values in unseen])
        finite = torch.isfinite(losses).tolist()
        if all(finite):
            return
        step, values = unseen[finite.index(False)]
        terms = {name: float(value) for name, value in values.items() if name != "loss"}
        guilty = [name for name, value in terms.items() if not torch.isfinite(torch.tensor(value))]
        source = f"the term {', '.join(guilty)}" if guilty else "the sum of its terms"
        raise NonFiniteLossError(
            f"the loss became {float(values['loss'])} at step {step}, from {source};"
            " the checkpoints saved before are good; try a smaller learning rate, or a larger"
            " temperature or tau"
        )
