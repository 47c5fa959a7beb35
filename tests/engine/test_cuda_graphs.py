"""Recorded steps, with a recorder that runs on a CPU what a graph would: the numbers of then."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from mixvae.cli.schema import register
from mixvae.engine import cuda_graphs as captured
from mixvae.engine.cuda_graphs import CapturedStrategy
from mixvae.engine.randomness import seed_run
from mixvae.evaluate import main as evaluation
from mixvae.modules.base import AbstractModule
from mixvae.runs.build import build
from mixvae.train import main as training
from tests.composed import composed

register()

CPL = (
    "+experiment=digits_cpl",
    "model.num_agents=2",
    "model.align_epochs=[2]",
    "model.coupling_weight.begin=1",
    "model.coupling_weight.length=1",
    "model.information_weight=20.0",
    "model.copy_strength=1.0",
    "data.batch_size=170",  # and 103 samples left, which are a batch of their own
)
# A rate that is the same in the single precision of a tensor.
EXACT_RATE = (*CPL, "model.optimizer.lr=0.00390625", "model.learning_rate=1.0")
CASCADE = ("+experiment=digits_cascade_vae", "model.dimension_epochs=0.2")
SHORT = {
    "vade": ("model.pretrain_epochs=2",),
    "joint_vae": ("model.state_capacity_epochs=1", "model.category_capacity_epochs=1"),
}
MMVM = (
    "+experiment=hippocampus_mmvm",
    "model.beta={_target_: mixvae.objectives.schedules.Linear, start: 0.0, end: 1.0, length: 2}",
    *("data.simulator.num_trials=90", "data.simulator.num_bins=300"),
)
OTHERS = [
    *(
        (f"+experiment=digits_{name}", *SHORT.get(name, ()))
        for name in ("joint_vae", "info_gan", "vade", "gmvae", "beta_vae", "imsat", "mix_vae")
    ),
    ("+experiment=digits_augmenter",),
    ("+experiment=hippocampus_mmvm", "model=mopoe"),
]
EXPERIMENTS = [CPL, MMVM, *(pytest.param(words, marks=pytest.mark.slow) for words in OTHERS)]


@contextmanager
def at(model: AbstractModule, epoch: float) -> Iterator[None]:
    """Let time stand still, and see to it that nothing but tensors' values changes."""
    kind, before = type(model), plain(model)
    kind.epoch = property(lambda self: epoch)  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        del kind.epoch
    assert plain(model) == before


def plain(model: AbstractModule) -> dict[str, Any]:
    """What a graph would not change: numbers, and which tensors are where."""
    numbers = {k: v for k, v in vars(model).items() if isinstance(v, bool | int | float | str)}
    places = {k: id(v) for k, v in model.state_dict(keep_vars=True).items()}
    return {**numbers, **places}


class Frozen:
    """Work done again at the epoch of its recording."""

    model: AbstractModule
    replayed = 0

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work, self.epoch = work, self.model.epoch

    def replay(self) -> Any:
        type(self).replayed += 1
        with at(self.model, self.epoch):
            return self.work()


def train(
    overrides: tuple[str, ...],
    folder: Path,
    strategy: CapturedStrategy | str,
    epochs: int = 5,
    batches: int = 1,
) -> dict[str, Tensor]:
    """Train on the CPU; the weights, and what was logged of the last epoch."""
    words = [*overrides, "logger=csv", f"run_dir={folder / 'run'}", "trainer.max_epochs=7"]
    cfg = composed(words)
    seed_run(0, 1)
    parts = build(cfg)
    Frozen.model, Frozen.replayed = parts.model, 0
    trainer = Trainer(
        accelerator="cpu",
        strategy=strategy,
        max_epochs=epochs,
        accumulate_grad_batches=batches,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(parts.model, datamodule=parts.data)
    logged = {f"logged {name}": value for name, value in trainer.callback_metrics.items()}
    return {**parts.model.state_dict(), **logged}


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Bit for bit."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0.0, atol=0.0)


@pytest.mark.parametrize("overrides", EXPERIMENTS, ids=lambda words: " ".join(words[:2]))
def test_replayed_steps_are_those_of_now(
    overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = CapturedStrategy("cpu", Frozen)
    replayed = train(overrides, tmp_path, strategy)
    assert Frozen.replayed > 3
    monkeypatch.setattr(captured, "WARM_UP", 10**9)
    run = train(overrides, tmp_path, CapturedStrategy("cpu", Frozen))
    assert Frozen.replayed == 0
    assert_equal(replayed, run)


def test_a_batch_of_another_size_has_a_recording_of_its_own(tmp_path: Path) -> None:
    strategy = CapturedStrategy("cpu", Frozen)
    train(CPL, tmp_path, strategy, epochs=7)
    assert strategy.num_recorded == 2


def test_the_same_as_without(tmp_path: Path) -> None:
    recorded = train(EXACT_RATE, tmp_path, CapturedStrategy("cpu", Frozen))
    assert Frozen.replayed > 3
    assert_equal(recorded, train(EXACT_RATE, tmp_path, "auto"))


def refused(work: Callable[[], Any]) -> Any:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


@pytest.mark.parametrize(
    ("overrides", "record", "batches", "reason"),
    [
        (EXACT_RATE, refused, 1, "operation not permitted"),
        (CPL, None, 1, "cpu has no CUDA graphs"),
        (CPL, Frozen, 2, "accumulate_grad_batches"),
        (CASCADE, Frozen, 1, "a step of CascadeVAE needs the CPU"),
    ],
)
def test_what_cannot_be_recorded_is_run_and_said_once(
    overrides: tuple[str, ...],
    record: Any,
    batches: int,
    reason: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        strategy = CapturedStrategy("cpu", record)
        fallen_back = train(overrides, tmp_path, strategy, epochs=2, batches=batches)
    (message,) = [record.message for record in caplog.records if "graphs" in record.message]
    assert reason in message
    assert "\n" not in message
    assert strategy.num_recorded == 0
    assert_equal(fallen_back, train(overrides, tmp_path, "auto", epochs=2, batches=batches))


def test_a_checkpoint_of_usual_steps_can_be_gone_on_from(tmp_path: Path) -> None:
    strategy = CapturedStrategy("cpu", Frozen)
    train(CPL, tmp_path, strategy, epochs=1)
    (optimizer,) = strategy.optimizers
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["lr"] = 0.25
    strategy.load_optimizer_state_dict({"optimizer_states": [state]})
    assert all(isinstance(group["lr"], Tensor) for group in optimizer.param_groups)
    assert all(float(group["lr"]) == 0.25 for group in optimizer.param_groups)


def test_such_a_run_is_evaluated_and_resumed_like_others(tmp_path: Path) -> None:
    strategy = (
        "+trainer.strategy={_target_: mixvae.engine.cuda_graphs.CapturedStrategy, device: cpu}"
    )
    folder = f"run_dir={tmp_path / 'run'}"
    short = ["trainer.max_epochs=2", "logger=csv", "num_threads=1", "~callbacks.figures"]
    assert training([*CPL, strategy, *short, folder]) == 0
    assert evaluation([f"run={tmp_path / 'run'}"]) == 0
    assert training([f"resume={tmp_path / 'run'}", "trainer.max_epochs=3"]) == 0


def test_the_trainer_of_graphs_is_that_of_one_gpu() -> None:
    graphs = composed(["trainer=gpu_captured"])
    usual = composed(["trainer=gpu"])
    strategy = graphs.trainer.pop("strategy")
    assert graphs.trainer == usual.trainer
    assert strategy == {
        "_target_": "mixvae.engine.cuda_graphs.CapturedStrategy",
        "device": "cuda:0",
    }


class NoGraph:
    """Stands for a graph, and for the time in which it is recorded."""

    def __init__(self, *_: Any) -> None:
        self.replayed = 0

    def __enter__(self) -> None: ...

    def __exit__(self, *_: Any) -> None: ...

    def replay(self) -> None:
        self.replayed += 1


def test_a_recording_keeps_what_it_works_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", NoGraph)
    monkeypatch.setattr(torch.cuda, "graph", NoGraph)

    def record() -> tuple[captured.CudaRecording, weakref.ref[Tensor]]:
        x = torch.zeros(3)
        return captured.CudaRecording(lambda: x.add_(1).sum()), weakref.ref(x)

    recording, x = record()
    gc.collect()
    assert x() is not None
    assert recording.replay() == 3
    assert recording.graph.replayed == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("overrides", EXPERIMENTS, ids=lambda words: " ".join(words[:2]))
def test_graphs_on_a_gpu_train_as_steps_do(overrides: tuple[str, ...], tmp_path: Path) -> None:
    # In full precision: what is rounded otherwise trains otherwise.
    def losses(strategy: str) -> dict[str, Tensor]:
        words = [*overrides, "logger=csv", f"run_dir={tmp_path / strategy}", f"trainer={strategy}"]
        cfg = composed([*words, "trainer.max_epochs=7", "matmul_precision=highest"])
        seed_run(0)
        parts = build(cfg)
        parts.trainer.fit(parts.model, datamodule=parts.data)
        if isinstance(parts.trainer.strategy, CapturedStrategy):
            assert parts.trainer.strategy.num_recorded > 0
        return dict(parts.trainer.callback_metrics)

    with_graphs, without = losses("gpu_captured"), losses("gpu")
    # The random numbers of a graph are others; the training is not.
    torch.testing.assert_close(with_graphs["train/loss"], without["train/loss"], rtol=0.2, atol=1.0)
