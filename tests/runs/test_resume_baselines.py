"""Schedules and centres of the baselines outlive a stop: resumed runs equal uninterrupted ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from mixvae.runs import training

MODELS = {
    "joint_vae": ("model.state_capacity_epochs=3", "model.category_capacity_epochs=2.5"),
    "cascade_vae": ("model.dimension_epochs=0.8", "model.category_after=1"),
    "beta_vae": (),
    "mix_vae": ("augmenter=noise",),
}


class Interrupt(Callback):
    """Ctrl-C in the middle of the second epoch."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == 1 and trainer.global_step % 5 == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("model", MODELS)
def test_a_resumed_baseline_is_an_uninterrupted_one(
    model: str,
    train: Callable[..., Any],
    small: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [*small, f"model={model}", *MODELS[model], "trainer.max_epochs=3"]
    assert train(*words, "run_dir=whole").status == 0
    build = training.build

    def build_with_stop(cfg: Any) -> Any:
        parts = build(cfg)
        parts.trainer.callbacks.insert(0, Interrupt())
        return parts

    with monkeypatch.context() as patch:
        patch.setattr(training, "build", build_with_stop)
        assert train(*words, "run_dir=part").status == 130
    assert train("resume=part").status == 0
    for name in ("metrics.csv", "predictions.csv"):
        assert (tmp_path / "part" / name).read_text() == (tmp_path / "whole" / name).read_text()


BAD = {
    "capacity below 0": ("joint_vae", "model.state_capacity=-1", "state_capacity must be at least"),
    "above log K": ("joint_vae", "model.category_capacity=2.4", "at most log(10) = 2.3026 nats"),
    "long capacity": ("joint_vae", "trainer.max_epochs=7", "model.state_capacity_epochs is 10"),
    "long cascade": ("cascade_vae", "trainer.max_epochs=10", "model.dimension_epochs is 1"),
    "few samples": ("beta_vae", "model.num_categories=2000", "more than the 1293 training samples"),
    "augmenter": ("joint_vae", "augmenter=noise", "JointVAE takes no augmenter"),
    "agents": ("joint_vae", "model.num_agents=2", "unknown key 'model.num_agents'"),
}


@pytest.mark.parametrize(("model", "word", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_is_refused_before_there_is_a_run_folder(
    model: str, word: str, message: str, train: Callable[..., Any], tmp_path: Path
) -> None:
    outcome = train(f"model={model}", word, "run_dir=run")
    assert outcome.status != 0
    assert message in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_debugging_run_may_be_shorter_than_a_schedule(
    train: Callable[..., Any], small: tuple[str, ...]
) -> None:
    outcome = train(*small, "model=joint_vae", "trainer.fast_dev_run=true", "run_dir=run")
    assert outcome.status == 0, outcome.err
