"""Merges the categories that are parts of one, once in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from mixvae.callbacks.checkpoints import forget_best
from mixvae.callbacks.lightning_parts import callbacks_of, is_debugging
from mixvae.callbacks.measuring import evaluating, measure, ordered_batches
from mixvae.callbacks.pruning import Pruning
from mixvae.callbacks.settings import check_least
from mixvae.contracts import Mergeable, MixtureModel, Prunable
from mixvae.evaluation.merging import (
    group_categories,
    merging_path,
    most_agreed,
    overlapping_groups,
)
from mixvae.messages import inform, warn
from mixvae.objectives.assignment import joint_counts


class Merging(Callback):
    """After some epochs, merge each agent's overlapping categories and align the agents.

    Agents with more categories than types keep all types apart and split some; `evaluation.merging`
    tells a split type from two neighbours. The probabilities of merged categories are added.

    Args:
        after_epochs: Epochs of training before the merging.
        num_categories: Categories to end with, if known.
        max_overlap: Else categories that overlap more are parts of one; None takes the number by
            what the agents share, see `evaluation.merging.most_agreed`.
        align: Match the agents' categories after the merging.
    """

    def __init__(
        self,
        after_epochs: int,
        num_categories: int | None = None,
        max_overlap: float | None = 0.07,
        align: bool = True,
    ) -> None:
        check_least("merging", 1, after_epochs=after_epochs)
        check_least("merging", 2, num_categories=num_categories)
        if max_overlap is not None and not 0 < max_overlap < 1:
            raise ValueError(
                f"callbacks.merging.max_overlap must lie between 0 and 1, got {max_overlap}"
            )
        self.after_epochs = after_epochs
        self.num_categories = num_categories
        self.max_overlap = max_overlap
        self.align = align
        self._done = False

    def state_dict(self) -> dict[str, Any]:
        """Return whether categories were merged."""
        return {"done": self._done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._done = state_dict["done"]

    def check(self, trainer: Trainer, model: LightningModule) -> None:
        """Reject settings that cannot work, before anything is written."""
        if not isinstance(model, Mergeable) or not isinstance(model, MixtureModel):
            raise ValueError(
                f"callbacks.merging merges the categories of a mixture, which"
                f" {type(model).__name__} is not; set callbacks.merging=null"
            )
        if self.num_categories is None and self.max_overlap is None and model.num_agents < 2:
            raise ValueError(
                "callbacks.merging finds the number of categories by the agents' agreement, but"
                " model.num_agents is 1; set it to 2 or more, or set"
                " callbacks.merging.num_categories or max_overlap"
            )
        if (self.num_categories or 0) > model.num_categories:
            raise ValueError(
                f"callbacks.merging.num_categories is {self.num_categories}, but the model has"
                f" {model.num_categories} only; raise model.num_categories"
            )
        if self.after_epochs == trainer.max_epochs and not is_debugging(trainer):
            raise ValueError(
                f"callbacks.merging.after_epochs is {self.after_epochs} and so is"
                " trainer.max_epochs, so merged categories would be neither trained nor tested;"
                " raise trainer.max_epochs"
            )
        max_epochs = trainer.max_epochs or 0
        for pruning in callbacks_of(trainer):
            if not isinstance(pruning, Pruning):
                continue
            first = pruning.first_measured(max_epochs)
            if first < self.after_epochs <= max_epochs:
                raise ValueError(
                    f"callbacks.merging.after_epochs is {self.after_epochs}, but pruning begins"
                    f" after {first} epochs already; lower it, or raise trainer.max_epochs"
                )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check again, for runs without the command line."""
        if stage == "fit":
            self.check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merge once, after `after_epochs`."""
        if trainer.current_epoch + 1 < self.after_epochs or self._done:
            return
        assert isinstance(pl_module, Mergeable)
        assert isinstance(pl_module, MixtureModel)
        assert isinstance(pl_module, Prunable)
        self._done = True
        overlap = measure_overlap(trainer, pl_module).cpu().numpy()
        number = self.num_categories
        if number is None and self.max_overlap is not None:
            number = overlapping_groups(overlap, self.max_overlap)
        elif number is None:
            number = most_agreed(measure_joint(trainer, pl_module, merging_path(overlap)))
        groups = group_categories(overlap, number)
        pl_module.merge(torch.from_numpy(groups.order), torch.from_numpy(groups.name))
        if self.align and pl_module.num_agents > 1:
            pl_module.align(torch.from_numpy(measure(trainer, pl_module).joint))
        forget_best(trainer)
        inform(
            f"merged after epoch {trainer.current_epoch + 1}: {overlap.shape[-1]} categories into"
            f" {groups.num_groups}"
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn if training ended before the merging."""
        if not self._done and not is_debugging(trainer):
            warn(f"categories were not merged: training ended before epoch {self.after_epochs}")


@torch.no_grad()
def measure_overlap(trainer: Trainer, model: LightningModule) -> Tensor:
    """Sums of q(i|x) q(j|x) over the training data of all ranks, shape (A, K, K), float64."""
    assert isinstance(model, MixtureModel)
    size = (model.num_agents, model.num_categories, model.num_categories)
    total = torch.zeros(size, dtype=torch.float64, device=model.device)
    with evaluating(trainer, model):
        for index, batch in enumerate(ordered_batches(trainer, "train")):
            probs = model.predict_step(batch, index).posterior.probs.double()
            total += probs.transpose(1, 2) @ probs
    reduced = trainer.strategy.reduce(total, reduce_op="sum")
    assert isinstance(reduced, Tensor)
    return reduced


@torch.no_grad()
def measure_joint(
    trainer: Trainer, model: LightningModule, path: Mapping[int, NDArray[np.int64]]
) -> dict[int, NDArray[np.int64]]:
    """Joint counts of the agents' groups over the training data of all ranks.

    Args:
        path: Group of each agent's categories, shape (A, K), by the number G of groups.

    Returns:
        Shape (A, A, G, G) as [a, b, i, j], by G.
    """
    assert isinstance(model, MixtureModel)
    size = (model.num_agents, model.num_agents)
    members = {
        number: one_hot(torch.from_numpy(group), number).to(model.device)
        for number, group in path.items()
    }
    total = {
        number: torch.zeros(*size, number, number, dtype=torch.int64, device=model.device)
        for number in path
    }
    with evaluating(trainer, model):
        for batch in ordered_batches(trainer, "train"):
            probs = model.infer(batch.x).probs
            for number, member in members.items():
                category = (probs @ member.to(probs.dtype)).argmax(dim=-1)
                total[number] += joint_counts(category, number)
    return {
        number: trainer.strategy.reduce(counts, reduce_op="sum").cpu().numpy()
        for number, counts in total.items()
    }
