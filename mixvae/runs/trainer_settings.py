"""Refuses trainer settings that a run cannot have; callbacks that cannot serve step aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig, OmegaConf

from mixvae.callbacks.checkpoints import Checkpoints
from mixvae.callbacks.copies import CopyFigures
from mixvae.callbacks.lightning_parts import callbacks_of
from mixvae.callbacks.measuring import AbstractMeasuring
from mixvae.cli.trust import built_nodes
from mixvae.contracts import CopyModel, MixtureModel, MultimodalModel
from mixvae.engine.devices import has_bf16
from mixvae.messages import inform
from mixvae.modules.base import AbstractModule
from mixvae.runs.folder import RunFolder

# Arguments that a run gives the trainer itself, and the setting to use instead.
GIVEN = {
    "logger": "say ~logger for none, or choose one: logger=csv",
    "enable_checkpointing": "say ~callbacks.checkpoints for no checkpoints",
    "callbacks": "name one more in the group of callbacks: +callbacks.NAME._target_=...",
    "plugins": "a precision is named by trainer.precision",
}
# Numbers of epochs or batches.
AT_LEAST_ONE = ("check_val_every_n_epoch", "accumulate_grad_batches")
# Callbacks for each kind of model.
GROUPS = {"default": MixtureModel, "multimodal": MultimodalModel, "augmenter": CopyModel}
MIXED = ("16", "bf16", "16-mixed", "bf16-mixed")


def check_settings(trainer: DictConfig) -> None:
    """Refuse settings that would have no effect, or fail later."""
    for key, advice in GIVEN.items():
        if key in trainer:
            raise ValueError(f"trainer.{key} has no effect here; {advice}")
    for key in AT_LEAST_ONE:
        value = trainer.get(key)
        if isinstance(value, int) and value < 1:
            raise ValueError(f"trainer.{key} must be 1 or more, got {value}")


def choose_precision(cfg: DictConfig) -> None:
    """Put a precision in place of `trainer.precision=auto`, which the run folder then names.

    It is bf16-mixed where the device has bf16 arithmetic and the experiment was tested in it.
    """
    if cfg.trainer.get("precision") != "auto":
        return
    tested = cfg.get("bf16_tested", False)
    fits = tested and has_bf16(cfg.trainer.get("accelerator"))
    reason = f"the device has {'' if fits else 'no '}fast bf16 arithmetic"
    if not tested:
        reason = "the experiment is not tested in bf16 (bf16_tested=false)"
    cfg.trainer.precision = "bf16-mixed" if fits else "32-true"
    inform(f"trainer.precision=auto: {cfg.trainer.precision}, as {reason}")


def check_trainer(trainer: Trainer, strategy: object) -> None:
    """Refuse a precision or strategy that a run cannot have; `strategy` is the config's."""
    if str(trainer.precision).endswith("16-true"):
        raise ValueError(
            f"trainer.precision is {trainer.precision}, but weights of 16 bits lose what the losses"
            " need; use bf16-mixed, 32-true or 64-true"
        )
    # Private, but the only sign of it in Lightning before 2.7.
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise ValueError(
            f"trainer.strategy is {strategy!r}, whose processes could not hand the run back; use"
            " trainer=ddp, or trainer=ddp_cpu, whose strategy is ddp"
        )


def check_checkpoints(trainer: Trainer, run_dir: Path) -> None:
    """Refuse a checkpoint folder outside the run folder, which resume would not find."""
    place = RunFolder(run_dir).last_checkpoint.parent
    for callback in callbacks_of(trainer):
        if isinstance(callback, Checkpoints) and callback.dirpath.resolve() != place.resolve():
            raise ValueError(
                f"callbacks.checkpoints.dirpath is {callback.dirpath}, but a run is tested, resumed"
                f" and evaluated from {place}; leave it there, and name the whole folder by run_dir"
            )


def unfuse_where_clipped(cfg: DictConfig) -> None:
    """Switch fused optimisers off where gradients are clipped in mixed precision.

    Lightning cannot clip gradients that an optimiser unscales itself, as a fused one may.
    """
    trainer = cfg.trainer
    if not trainer.get("gradient_clip_val") or str(trainer.get("precision")) not in MIXED:
        return
    for path, node in built_nodes(OmegaConf.to_container(cfg.model, resolve=True), "model"):
        if node.get("fused"):
            OmegaConf.update(cfg, f"{path}.fused", False)
            inform(
                f"{path}.fused=false: trainer.gradient_clip_val with trainer.precision="
                f"{trainer.precision} asks for an optimiser that is not fused"
            )


def untestable(model: LightningModule, data: Any) -> str:
    """Say what a foreign model or data set lacks for a test; '' where it lacks nothing."""
    if not is_overridden("test_step", model):
        return f"model {type(model).__name__} has no test_step"
    if not any(is_overridden("test_dataloader", one) for one in (data, model)):
        return f"data {type(data).__name__} have no test_dataloader"
    return ""


def step_aside(trainer: Trainer, model: LightningModule, data: Any) -> None:
    """Take the callbacks out that a foreign model or data set cannot serve, and log one line.

    Models and data of mixvae are left as they are: what does not fit them is refused.
    """
    known = isinstance(model, AbstractModule | MixtureModel | MultimodalModel)
    callbacks = callbacks_of(trainer)
    if known and hasattr(data, "spec"):
        _check_kind(callbacks, model)
        return
    out = [one for one in callbacks if isinstance(one, AbstractMeasuring | CopyFigures)]
    if not out:
        return
    callbacks[:] = [one for one in callbacks if one not in out]
    names = ", ".join(type(one).__name__ for one in out)
    reason = (
        f"data {type(data).__name__} have no `spec`"
        if known
        else f"model {type(model).__name__} keeps none of mixvae's contracts"
    )
    inform(f"{names} step aside: {reason} (docs/extend.md)")


def _check_kind(callbacks: Sequence[Callback], model: LightningModule) -> None:
    """Refuse callbacks that measure another kind of model."""
    kinds = {type(one).__name__: getattr(one, "model_kind", object) for one in callbacks}
    wrong = [name for name, kind in kinds.items() if not isinstance(model, kind)]
    if wrong:
        fitting = next((name for name, kind in GROUPS.items() if isinstance(model, kind)), "none")
        raise ValueError(
            f"the callbacks {', '.join(wrong)} measure another kind of model than"
            f" {type(model).__name__}; choose callbacks={fitting}"
        )
