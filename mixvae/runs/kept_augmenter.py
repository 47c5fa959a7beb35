"""A run keeps a copy of its learned augmenter, to be tested when the original is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from omegaconf import DictConfig

from mixvae.augmenters.learned import find_checkpoint
from mixvae.files import replacing
from mixvae.runs.folder import RunFolder

KEY = "checkpoint"


def keep_augmenter(folder: RunFolder, cfg: DictConfig) -> None:
    """Copy the checkpoint of a learned augmenter, if the config names one, into the run folder.

    The config keeps the path that the user gave, by which the run can be repeated elsewhere.
    """
    if _names_checkpoint(cfg):
        source = find_checkpoint(Path(cfg.augmenter[KEY]).expanduser())
        with replacing(folder.augmenter) as temporary:
            shutil.copyfile(source, temporary)


def use_kept_augmenter(folder: RunFolder, cfg: DictConfig) -> None:
    """Point the config of a run that is opened again to the copy in its folder, if one exists."""
    if _names_checkpoint(cfg) and folder.augmenter.is_file():
        cfg.augmenter[KEY] = str(folder.augmenter)


def _names_checkpoint(cfg: DictConfig) -> bool:
    return isinstance(cfg.augmenter, DictConfig) and bool(cfg.augmenter.get(KEY))
