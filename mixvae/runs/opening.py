"""Opens a trained model without its training data, to be used on others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from omegaconf import DictConfig

from mixvae.contracts import DataSpec, MultimodalSpec
from mixvae.engine.checkpoint_io import check_fits
from mixvae.runs.build import build_model
from mixvae.runs.folder import RunFolder


def choose_checkpoint(folder: RunFolder, asked: str | None) -> Path:
    """Return the checkpoint asked for, or the one that training tested.

    Args:
        folder: The run's folder.
        asked: `best`, `last` or `selected`; None for the one that training tested.
    """
    paths = folder.checkpoints
    if asked is not None:
        return paths[asked]
    tested = folder.read_summary().get("tested_checkpoint")
    named = {path.relative_to(folder.path).as_posix(): path for path in paths.values()}
    there = [paths[name] for name in ("selected", "best", "last") if paths[name].is_file()]
    return named.get(str(tested)) or (there or [paths["best"]])[0]


def load_model(
    cfg: DictConfig, content: Mapping[str, Any], spec: DataSpec | MultimodalSpec, path: Path
) -> LightningModule:
    """Build a run's model and load its weights; its augmenter is not needed and left out.

    Args:
        cfg: The run's config.
        content: The checkpoint.
        spec: What the data of the run were.
        path: File of the checkpoint, for messages.

    Returns:
        The model in evaluation mode, on the GPU where the run has been on one and there is one.

    Raises:
        ValueError: If the weights are of another model.
    """
    cfg.augmenter = {"_target_": "mixvae.augmenters.noise.Identity"}
    weights = {
        name: value
        for name, value in content["state_dict"].items()
        if not name.startswith("augmenter.")
    }
    model = build_model(cfg, SimpleNamespace(spec=spec))
    check_fits({"state_dict": weights}, model, path)
    model.load_state_dict(weights)
    if cfg.trainer.get("accelerator") in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        model.to("cuda")
    return model.eval()
