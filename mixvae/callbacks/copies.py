"""Draws the figures of a learned augmenter's run after its test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from mixvae.callbacks.collecting import logged_curves, spec_of
from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.callbacks.pictures import NamedFigures, save_pictures
from mixvae.callbacks.settings import check_least
from mixvae.contracts import CopyModel, DataSpec
from mixvae.figures.copies import copy_plane, image_copies
from mixvae.figures.curves import augmenter_learning_curves
from mixvae.spacing import spaced


class CopyFigures(Callback):
    """Draw `figures/*.png` at the end of a test.

    Args:
        num_samples: Test samples shown with their copies.
        num_copies: Copies shown of each.
    """

    model_kind = CopyModel

    def __init__(self, dirpath: str, num_samples: int = 12, num_copies: int = 4) -> None:
        check_least("figures", 1, num_samples=num_samples, num_copies=num_copies)
        self.dirpath = Path(dirpath)
        self.num_samples, self.num_copies = num_samples, num_copies

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw everything, on the first rank."""
        if trainer.is_global_zero:
            save_pictures(trainer, self.dirpath, self._draw(trainer, pl_module))

    def _draw(self, trainer: Trainer, model: LightningModule) -> NamedFigures:
        if curves := logged_curves(self.dirpath):
            yield "learning_curves", augmenter_learning_curves(curves)
        yield "copies", self._draw_copies(trainer, model)

    def _draw_copies(self, trainer: Trainer, model: LightningModule) -> Figure:
        assert isinstance(model, CopyModel)
        spec = spec_of(trainer, DataSpec)
        x = next(iter(datamodule_of(trainer).test_dataloader())).x
        rows = spaced(len(x), self.num_samples)
        others = np.setdiff1d(np.arange(len(x)), rows)
        x = x[torch.from_numpy(np.concatenate([rows, others])).to(x.device)]
        copies = model.copies(x[: len(rows)].to(model.device), self.num_copies).float().cpu()
        samples = x.float().cpu().numpy()
        if spec.is_image:
            return image_copies(samples[: len(rows)], copies.numpy(), spec.value_range)
        shown = copies.flatten(start_dim=2).numpy()
        return copy_plane(samples.reshape(len(samples), -1), shown)
