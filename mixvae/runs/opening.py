"""Opens a trained run for evaluate, annotate and impute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch import LightningModule
from omegaconf import DictConfig

from mixvae.cli.run_requests import RunRequest
from mixvae.contracts import DataSpec, MultimodalSpec
from mixvae.data.cells.preparation import Preparation
from mixvae.data.images.image_arrays import ImageState
from mixvae.data.modalities.base import MultimodalState
from mixvae.engine.checkpoint_io import check_fits, load_checkpoint
from mixvae.runs.build import build_model, quieten_lightning
from mixvae.runs.folder import RunFolder
from mixvae.runs.resume import open_run
from mixvae.suggestions import suggestion


@dataclass
class TrainedRun:
    """A run and the checkpoint to use."""

    folder: RunFolder
    cfg: DictConfig
    checkpoint: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        """The checkpoint, on the CPU."""
        return load_checkpoint(self.checkpoint)

    @property
    def checkpoint_name(self) -> str:
        """The checkpoint's path in the run folder."""
        return self.checkpoint.relative_to(self.folder.path).as_posix()

    @property
    def data_name(self) -> str:
        """Class of the data module that the run was trained on."""
        return str(self.cfg.data.get("_target_", "")).rsplit(".", 1)[-1]

    @property
    def spec(self) -> DataSpec | MultimodalSpec | None:
        """Description of the run's data, from the checkpoint where that holds one."""
        cells, images = Preparation.find(self.content), ImageState.find(self.content)
        modalities = MultimodalState.find(self.content)
        if cells is not None:
            return DataSpec("cells", (len(cells.genes),), feature_names=cells.genes)
        if images is not None:
            return DataSpec("images", images.shape, len(images.classes), images.classes)
        if modalities is not None:
            classes = modalities.classes
            return MultimodalSpec("multimodal", modalities.modalities, len(classes), classes)
        # A data set of its own: nothing is read.
        return getattr(instantiate(self.cfg.data, _convert_="all"), "spec", None)

    def load_model(self, spec: DataSpec | MultimodalSpec | None) -> LightningModule:
        """Build the model without its augmenter and load its weights.

        Returns:
            The model in evaluation mode; on the GPU if the run used one and one is available.
        """
        cfg = self.cfg.copy()
        cfg.augmenter = {"_target_": "mixvae.augmenters.noise.Identity"}
        weights = {
            name: value
            for name, value in self.content["state_dict"].items()
            if not name.startswith("augmenter.")
        }
        model = build_model(cfg, SimpleNamespace(spec=spec) if spec is not None else object())
        check_fits({"state_dict": weights}, model, self.checkpoint)
        model.load_state_dict(weights)
        if cfg.trainer.get("accelerator") in ("gpu", "cuda", "auto") and torch.cuda.is_available():
            model.to("cuda")
        return model.eval()


def open_trained(request: RunRequest) -> TrainedRun:
    """Open the run of a request; its training data are not needed."""
    quieten_lightning()
    folder = RunFolder(request.run.expanduser().absolute())
    cfg = open_run(folder)
    return TrainedRun(folder, cfg, choose_checkpoint(folder, cfg, request.checkpoint))


def load_model(path: str | Path) -> LightningModule:
    """Load the model of a checkpoint that lies in its run folder."""
    file = Path(path).expanduser().absolute()
    folder = RunFolder(file.parents[1])
    if not file.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    if not folder.config.is_file():
        raise ValueError(
            f"checkpoint {path} lies in no run folder, whose config would say how to build the"
            " model; give load_from_checkpoint the arguments of its constructor"
        )
    quieten_lightning()
    run = TrainedRun(folder, open_run(folder), file)
    return run.load_model(run.spec)


def choose_checkpoint(folder: RunFolder, cfg: DictConfig, asked: str | None) -> Path:
    """Return the checkpoint asked for, or else the one that training tested.

    A run that stopped before its test uses the first of these that exists: the checkpoint that it
    would have tested (`test_checkpoint`), best, last.
    """
    paths = folder.checkpoints
    if asked is not None:
        if asked not in paths:
            raise ValueError(f"checkpoint is {asked!r}{suggestion(asked, paths)}")
        return paths[asked]
    tested = folder.read_summary().get("tested_checkpoint")
    for path in paths.values():
        if path.relative_to(folder.path).as_posix() == tested:
            return path
    order = [paths[name] for name in (cfg.test_checkpoint, "best", "last") if name in paths]
    return next((path for path in order if path.is_file()), order[0])
