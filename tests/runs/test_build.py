from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from omegaconf import DictConfig

from mixvae.cli.schema import register
from mixvae.engine.checkpoint_io import AtomicCheckpointIO
from mixvae.engine.csv_logger import CsvLogger
from mixvae.engine.randomness import seed_run
from mixvae.engine.wandb_logger import WandbRun
from mixvae.runs.build import build, build_trainer
from tests.composed import composed

register()

NEGATIVE_BINOMIAL = "mixvae.objectives.count_likelihoods.NegativeBinomial"


def config(small: Sequence[str], folder: Path, *overrides: str) -> DictConfig:
    return composed([*small, *overrides, f"run_dir={folder}"])


def test_the_parts_fit_each_other_and_nothing_is_written(
    small: Sequence[str], tmp_path: Path
) -> None:
    parts = build(config(small, tmp_path / "run", "model.num_categories=7"))
    assert parts.model.num_categories == 7
    batch = next(iter(parts.data.train_dataloader()))
    assert batch.x.shape[1:] == parts.data.spec.shape
    assert list(tmp_path.iterdir()) == []


def test_weights_depend_on_the_seed_alone(small: Sequence[str], tmp_path: Path) -> None:
    def first_weights(seed: int) -> torch.Tensor:
        seed_run(seed)
        parts = build(config(small, tmp_path, f"seed={seed}"))
        return next(parts.model.parameters()).detach().clone()

    assert torch.equal(first_weights(0), first_weights(0))
    assert not torch.equal(first_weights(0), first_weights(1))


def test_checkpoints_are_read_and_written_our_way(small: Sequence[str], tmp_path: Path) -> None:
    trainer = build_trainer(config(small, tmp_path))
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)


def test_parts_can_be_switched_off(small: Sequence[str], tmp_path: Path) -> None:
    trainer = build_trainer(
        config(
            small,
            tmp_path,
            "callbacks.checkpoints=null",
            "trainer.enable_progress_bar=false",
        )
    )
    assert not any(isinstance(item, Checkpoint | ProgressBar) for item in trainer.callbacks)
    bare = [line for line in small if "callbacks" not in line and "logger" not in line]
    cfg = composed([*bare, "~callbacks", "~logger", f"run_dir={tmp_path}"])
    assert build_trainer(cfg, logs=False).loggers == []


@pytest.mark.parametrize("logger", ["csv", "wandb", "default", None, "older"])
def test_every_run_writes_metrics_csv_once(
    small: Sequence[str], tmp_path: Path, logger: str | None
) -> None:
    own = [line for line in small if "logger" not in line]
    word = "~logger" if logger is None else f"logger={logger.replace('older', 'csv')}"
    cfg = composed([*own, word, f"run_dir={tmp_path}"])
    if logger == "older":  # a run folder whose config names the logger
        path = f"{tmp_path}/metrics.csv"
        cfg.logger = {"csv": {"_target_": "mixvae.engine.csv_logger.CsvLogger", "path": path}}
    first, *others = build_trainer(cfg).loggers
    assert isinstance(first, CsvLogger)
    assert first.path == tmp_path / "metrics.csv"
    assert [type(item) for item in others] == [WandbRun] * (logger in ("wandb", "default"))


def test_a_wrong_value_of_the_model_is_told_before_data_are_fetched(
    small: Sequence[str], tmp_path: Path
) -> None:
    cfg = config(small, tmp_path, "data=mnist", "model.num_categories=1", "data_root=/nowhere")
    with pytest.raises(ValueError, match="num_categories must be at least 2"):
        build(cfg)


def test_data_that_the_model_cannot_describe(small: Sequence[str], tmp_path: Path) -> None:
    lone = config(small, tmp_path, "data.batch_size=1")
    with pytest.raises(ValueError, match=r"set data\.batch_size to at least 2"):
        build(lone)
    counts = config(small, tmp_path, "model.likelihood._target_=" + NEGATIVE_BINOMIAL)
    with pytest.raises(ValueError, match="takes 2 parameters per feature, which is for vectors"):
        build(counts)
