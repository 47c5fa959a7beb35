"""One ordered pass over the training data between two epochs, outside of Lightning's loops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.contracts import MixtureModel
from mixvae.evaluation.consensus import category_consensus
from mixvae.evaluation.mixture import MixtureEvaluation


class Measured(NamedTuple):
    """What a mixture model makes of the training data.

    Attributes:
        values: What `MixtureEvaluation.compute` gives.
        consensus: Consensus of each category, shape (K,).
        occupancy: Samples in each category, summed over agents, shape (K,).
        joint: Samples per category of agent a and of agent b, shape (A, A, K, K).
    """

    values: dict[str, float]
    consensus: NDArray[np.float64]
    occupancy: NDArray[np.int64]
    joint: NDArray[np.int64]


@contextmanager
def evaluating(trainer: Trainer, model: LightningModule) -> Iterator[None]:
    """Let the model compute as in evaluation, in the trainer's precision, and go back after it.

    Args:
        trainer: The trainer.
        model: The model.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with trainer.precision_plugin.val_step_context():
        yield
    for module, mode in modes.items():
        module.training = mode


@torch.no_grad()
def measure(trainer: Trainer, model: LightningModule) -> Measured:
    """Measure a mixture of at least two agents, every training sample once, over all ranks.

    The model computes as in evaluation and comes back in the mode in which it was; nothing random
    is drawn.

    Args:
        trainer: The trainer, whose data module has `eval_dataloader`.
        model: The model.

    Returns:
        The measures, the same on all ranks.
    """
    assert isinstance(model, MixtureModel)
    mask = model.category_mask
    metric = MixtureEvaluation(model.num_agents, model.num_categories, num_classes=0, mask=mask)
    metric.to(model.device)
    datamodule = datamodule_of(trainer)
    with evaluating(trainer, model):
        for index, batch in enumerate(datamodule.eval_dataloader("train")):
            moved = trainer.strategy.batch_to_device(batch)
            batch = trainer.precision_plugin.convert_input(moved)
            metric.update(model.predict_step(batch, index), batch.label)
    values = {name: value.item() for name, value in metric.compute().items()}
    with metric.sync_context():
        counts = metric.counts()
    occupancy = counts.occupancy[:-1].sum(axis=0)
    return Measured(values, category_consensus(counts.joint), occupancy, counts.joint)
