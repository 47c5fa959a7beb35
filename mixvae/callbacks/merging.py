"""Merges the categories that are parts of one, once in training."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from mixvae.callbacks.checkpoints import forget_best
from mixvae.callbacks.lightning_parts import callbacks_of, is_debugging
from mixvae.callbacks.measuring import evaluating, log_values, measure, ordered_batches
from mixvae.callbacks.pruning import Pruning
from mixvae.callbacks.settings import check_least
from mixvae.contracts import Mergeable, MixtureModel, Prunable
from mixvae.evaluation.merging import (
    agreement,
    as_groups,
    found_by_most,
    joint_of_groups,
    joint_of_one,
    merging_path,
    most_agreed,
    separate_groups,
    without_cuts,
)
from mixvae.evaluation.review import MIN_CONSENSUS
from mixvae.messages import inform, warn
from mixvae.processes import gather_objects

MAX_SAMPLES = 20_000  # of the training set, by which merging is decided
MAX_DIMENSIONS = 50  # of their space; beyond it, as many of its principal components are taken


class Merging(Callback):
    """After some epochs, merge each agent's categories that have no valley between them.

    Agents with more categories than types keep all types apart and split some; the samples of a
    split type are as dense across the cut as beside it. Each agent's categories are merged in the
    order of these valleys, see `evaluation.merging`. The probabilities of merged categories are
    added, and the agents aligned.

    Args:
        after_epochs: Epochs of training before the merging.
        num_categories: Categories to end with, if known.
        max_valley: Else categories are merged whose valley is shallower than this density, as a
            share of the lower peak; None takes the number of categories on which the agents agree
            most, less those that at most half of the agents have, and less cuts that all agree on.
        align: Match the agents' categories after the merging.
    """

    def __init__(
        self,
        after_epochs: int,
        num_categories: int | None = None,
        max_valley: float | None = None,
        align: bool = True,
    ) -> None:
        check_least("merging", 1, after_epochs=after_epochs)
        check_least("merging", 2, num_categories=num_categories)
        if max_valley is not None and not 0 < max_valley < 1:
            raise ValueError(
                f"callbacks.merging.max_valley must lie between 0 and 1, got {max_valley}"
            )
        self.after_epochs = after_epochs
        self.max_valley = max_valley
        self.num_categories = num_categories
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
        if self.num_categories is None and self.max_valley is None and model.num_agents < 2:
            raise ValueError(
                "callbacks.merging finds the number of categories by the agents' agreement, but"
                " model.num_agents is 1; set it to 2 or more, or set"
                " callbacks.merging.num_categories or max_valley"
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
        cells = assigned_samples(trainer, pl_module)
        path, category = merging_path(cells.points, cells.probs), cells.probs.argmax(axis=-1)
        if self.num_categories is not None:
            group = path.group[self.num_categories]
        elif self.max_valley is not None:
            group = path.group[separate_groups(path, self.max_valley)]
        else:
            number = most_agreed(joint_of_groups(category, path.group))
            group = found_by_most(category, path.group[number])
            group = without_cuts(cells.points, category, group)
        size = [np.bincount(one, minlength=pl_module.num_categories) for one in category]
        groups = as_groups(group, np.stack(size))
        pl_module.merge(torch.from_numpy(groups.order), torch.from_numpy(groups.name))
        if self.align and pl_module.num_agents > 1:
            pl_module.align(torch.from_numpy(measure(trainer, pl_module).joint))
        forget_best(trainer)
        inform(
            f"merged after epoch {trainer.current_epoch + 1}: {pl_module.num_categories} categories"
            f" into {groups.num_groups}"
        )
        alone = agreement(joint_of_one(category, group))
        log_values(pl_module, "merging", {"agreement": alone})
        if alone < MIN_CONSENSUS:
            warn(
                f"before they are coupled, the agents agree on {alone:.0%} of the training samples"
                f" only (sound: {MIN_CONSENSUS:.0%}). Coupling lets them agree on more, so the"
                " consensus says less than usual; check the categories by their markers"
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn if training ended before the merging."""
        if not self._done and not is_debugging(trainer):
            warn(f"categories were not merged: training ended before epoch {self.after_epochs}")


class Assigned(NamedTuple):
    """Training samples of all ranks, at most about `MAX_SAMPLES`, equal on all ranks.

    Attributes:
        points: What encoders see of them, see `Mergeable.seen`, shape (N, C).
        probs: q(c|x) by each agent, shape (A, N, K).
    """

    points: NDArray[np.float32]
    probs: NDArray[np.float32]


@torch.no_grad()
def assigned_samples(trainer: Trainer, model: LightningModule) -> Assigned:
    """Assign training samples of all ranks, in the order of the ranks."""
    assert isinstance(model, Mergeable)
    assert isinstance(model, MixtureModel)
    points, probs = [], []
    with evaluating(trainer, model):
        for index, batch in enumerate(ordered_batches(trainer, "train", MAX_SAMPLES)):
            points.append(model.seen(batch).float().cpu().numpy())
            probs.append(model.predict_step(batch, index).posterior.probs.float().cpu().numpy())
    own = Assigned(np.concatenate(points), np.concatenate(probs, axis=1))
    parts = gather_objects(own)
    joined = np.concatenate([part.points for part in parts])
    if joined.shape[1] > MAX_DIMENSIONS:
        size = min(MAX_DIMENSIONS, len(joined))
        from sklearn.decomposition import PCA  # slow to import

        joined = PCA(size, svd_solver="randomized", random_state=0).fit_transform(joined)
    return Assigned(joined, np.concatenate([part.probs for part in parts], axis=1))
