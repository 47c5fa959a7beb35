"""Builds the parts of a run from its config: the only place that knows what goes where."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from mixvae.augmenters.learned import Learned
from mixvae.augmenters.noise import Identity
from mixvae.callbacks.lightning_parts import callbacks_of, is_debugging
from mixvae.callbacks.merging import Merging
from mixvae.callbacks.pictures import FigureSettings
from mixvae.callbacks.pruning import Pruning
from mixvae.cli.constructors import arguments_of
from mixvae.cli.schema import RunConfig
from mixvae.contracts import DataSpec, MultimodalSpec
from mixvae.engine.checkpoint_io import AtomicCheckpointIO
from mixvae.engine.cluster import check_processes, cluster_environment
from mixvae.engine.csv_logger import CsvLogger
from mixvae.engine.devices import emulates_bf16
from mixvae.messages import warn
from mixvae.modules.base import AbstractModule
from mixvae.runs.folder import RunFolder
from mixvae.runs.trainer_settings import (
    check_checkpoints,
    check_settings,
    check_trainer,
    choose_precision,
    step_aside,
    unfuse_where_clipped,
)

# Before training, so many batches are looked at for what the model cannot describe.
MAX_CHECKED_BATCHES = 100
PER_TEN_THOUSAND = 1e4  # the unit of decoded counts where the data were not scaled
MATMUL_PRECISIONS = ("highest", "high", "medium")


@dataclass
class Parts:
    """The parts of a run: data set up, initial weights, a trainer that has written nothing."""

    data: LightningDataModule
    model: LightningModule
    trainer: Trainer

    @property
    def spec(self) -> DataSpec | MultimodalSpec | None:
        """Description of the data; None of a foreign data module."""
        spec: DataSpec | MultimodalSpec | None = getattr(self.data, "spec", None)
        return spec


def build(cfg: DictConfig) -> Parts:
    """Build all parts; every value is checked by a constructor, and no run folder is touched.

    Cheap parts come first, so that a wrong value is refused before any data are fetched.

    Args:
        cfg: The run's config with `run_dir` set; what settings ask of others is changed in it.
    """
    quieten_lightning()
    check_settings(cfg.trainer)
    choose_precision(cfg)
    unfuse_where_clipped(cfg)
    data = instantiate(cfg.data, _convert_="all")
    model = build_model(cfg, data)
    if isinstance(model, AbstractModule):
        _check_optimizer(model)
    trainer = build_trainer(cfg)
    step_aside(trainer, model, data)
    check_checkpoints(trainer, Path(str(cfg.run_dir)))
    # A debugging run is short, and max_epochs of -1 or None is no end.
    max_epochs = 0 if is_debugging(trainer) else trainer.max_epochs or 0
    if isinstance(model, AbstractModule) and max_epochs > 0:
        model.check_epochs(max_epochs)
    prunings = [item for item in callbacks_of(trainer) if isinstance(item, Pruning)]
    for pruning in prunings:
        pruning.check(trainer, model, data)
    for merging in (item for item in callbacks_of(trainer) if isinstance(item, Merging)):
        merging.check(trainer, model)
    if cfg.test_checkpoint == "selected" and not prunings:
        raise ValueError(
            "test_checkpoint is selected, but nothing selects: add callbacks=pruning, or use best"
        )
    data.prepare_data()
    data.setup("fit")
    if isinstance(model, AbstractModule):
        check_samples = getattr(getattr(model, "augmenter", None), "check_samples", None)
        for batch in islice(data.train_dataloader(), MAX_CHECKED_BATCHES):
            model.check(batch)
            if check_samples is not None:
                check_samples(batch.x)
        if callable(getattr(data, "eval_dataloader", None)):
            model.prepare(data.eval_dataloader("train"))
            steps = len(data.train_dataloader()) * max(max_epochs, 1)  # a trial takes no more
            model.choose(data.eval_dataloader("train"), data.eval_dataloader("val"), steps)
    return Parts(data, model, trainer)


def build_model(cfg: DictConfig, data: Any) -> LightningModule:
    """Build the model for the data.

    Its constructor may ask for `shape` (of one sample), `spec` (of a data set of one array),
    `modalities` (of a multimodal data set) and `augmenter`.
    """
    spec = getattr(data, "spec", None)
    model = instantiate(_in_the_unit_of(cfg.model, spec), _partial_=True, _convert_="all")
    wanted, _ = arguments_of(model.func)
    given: dict[str, Any] = {}
    for name in ("shape", "modalities", "spec"):
        if name in wanted:
            kind = MultimodalSpec if name == "modalities" else DataSpec
            if spec is None:
                raise ValueError(
                    f"model {model.func.__name__} asks for `{name}`, but data"
                    f" {type(data).__name__} have no `spec`, see docs/extend.md"
                )
            if not isinstance(spec, kind):
                words = {DataSpec: "one array of samples", MultimodalSpec: "several modalities"}
                raise ValueError(
                    f"model {model.func.__name__} is for {words[kind]}, which data"
                    f" {spec.name} is not"
                )
            given[name] = spec if name == "spec" else getattr(spec, name)
    covariates = getattr(spec, "covariates", ())
    if "covariates" in wanted:
        given["covariates"] = covariates
    elif covariates:
        warn(
            f"model {model.func.__name__} has no covariates: effects of data.batch_key and"
            " data.covariates stay in; model=cpl_mixvae takes them out"
        )
    augmenter = instantiate(cfg.augmenter, _convert_="all")
    if isinstance(augmenter, Learned) and spec is not None:
        augmenter.check_data(spec)
    if "augmenter" in wanted:
        given["augmenter"] = augmenter
    elif not isinstance(augmenter, Identity):
        raise ValueError(
            f"model {model.func.__name__} takes no augmenter, but augmenter is"
            f" {type(augmenter).__name__}; leave it at augmenter=none"
        )
    built = model(**given)
    assert isinstance(built, LightningModule)
    if any(one.is_batch for one in covariates) and not getattr(built, "aligns_batches", True):
        warn(
            "the encoder sees the effects of data.batch_key, as it has no principal components in"
            " which batches are aligned; networks=mlp_cells has"
        )
    return built


def _in_the_unit_of(model: DictConfig, spec: DataSpec | MultimodalSpec | None) -> DictConfig:
    """Give a likelihood of counts the number that `data.target_sum=median` became."""
    if OmegaConf.select(model, "likelihood.target_sum") != "median":
        return model
    found = spec.target_sum if isinstance(spec, DataSpec) else None
    container = OmegaConf.to_container(model, resolve=True)
    resolved = OmegaConf.create(container)
    assert isinstance(resolved, DictConfig)
    resolved.likelihood.target_sum = found or PER_TEN_THOUSAND
    return resolved


def _check_optimizer(model: AbstractModule[Any]) -> None:
    """Try the optimiser's settings, which it would otherwise refuse when training has begun."""
    try:
        model.configure_optimizers()
    except ValueError as error:
        raise ValueError(f"model.optimizer: {error}") from error


def build_trainer(cfg: DictConfig, *, logs: bool = True) -> Trainer:
    """Build the trainer with its callbacks and loggers; the first one writes metrics.csv."""
    choose_precision(cfg)
    callbacks: list[Callback] = _built("callbacks", cfg.callbacks)
    if not cfg.trainer.get("enable_progress_bar", True):
        callbacks = [item for item in callbacks if not isinstance(item, ProgressBar)]
    callbacks.append(FigureSettings(**(cfg.get("figures") or {})))
    precision = cfg.get("matmul_precision", RunConfig.matmul_precision)
    if precision not in MATMUL_PRECISIONS:
        raise ValueError(
            f"matmul_precision must be one of {', '.join(MATMUL_PRECISIONS)}, got {precision!r}"
        )
    trainer = instantiate(cfg.trainer, _partial_=True, _convert_="all")
    try:
        built: Trainer = trainer(
            callbacks=callbacks,
            logger=_loggers(cfg) if logs else False,
            # Lightning would detect a Slurm job of one task as one process of several.
            plugins=[AtomicCheckpointIO(), cluster_environment()],
            enable_checkpointing=any(isinstance(item, Checkpoint) for item in callbacks),
        )
    except MisconfigurationException as error:
        if (asked := cfg.trainer.get("accelerator")) in (None, "auto", "cpu"):
            raise
        raise ValueError(
            f"trainer.accelerator={asked}: {error} The default, trainer=cpu, needs no such device"
        ) from error
    check_processes(built)
    check_trainer(built, cfg.trainer.get("strategy"))
    kind = built.strategy.root_device.type
    # On a CPU it would choose other kernels than those that results were measured with.
    if kind == "cuda":
        torch.set_float32_matmul_precision(precision)
    if kind == "cpu" and str(built.precision).startswith("bf16") and emulates_bf16():
        warn(
            f"trainer.precision is {built.precision}, but this processor has no bf16 arithmetic and"
            " emulates it; 32-true is faster here"
        )
    return built


def _loggers(cfg: DictConfig) -> list[Logger]:
    metrics = CsvLogger(str(RunFolder(Path(str(cfg.run_dir))).metrics))
    # Older run folders name this logger in their config.
    others = [
        item
        for item in _built("logger", cfg.logger)
        if not isinstance(item, CsvLogger) or item.path != metrics.path
    ]
    return [metrics, *others]


def _built(group: str, nodes: DictConfig | None) -> list[Any]:
    """Build the named parts of a group; null switches one off."""
    named = {str(name): node for name, node in (nodes or {}).items() if node is not None}
    for name, node in named.items():
        if "_target_" not in node:
            raise ValueError(
                f"{group}.{name} has settings ({', '.join(map(str, node))}) and no _target_: the"
                f" chosen {group} have none of this name; choose others, or say ~{group}.{name}"
            )
    return [instantiate(node, _convert_="all") for node in named.values()]


def quieten_lightning() -> None:
    """Keep Lightning's hints to itself where they do not apply; its errors stay."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The report of `+trainer.profiler=simple`, which is asked for.
    logging.getLogger("lightning.pytorch.profilers.profiler").setLevel(logging.INFO)
    for hint in (
        ".*does not have many workers.*",
        "GPU available but not used.*",
        r".*isinstance\(treespec, LeafSpec\).*",
        r"Found \d+ module\(s\) in eval mode.*",  # a learned augmenter stays in it
        ".*number of training batches.*is smaller than the logging interval.*",
        "Grad strides do not match bucket view strides.*",  # of one agent's axis of length 1
    ):
        warnings.filterwarnings("ignore", hint)
