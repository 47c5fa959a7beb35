from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mixvae.callbacks.checkpoints import (
    Checkpoints,
    capture_random_state,
    restore_random_state,
)


class Toy(LightningModule):
    """A model whose validation loss is what it is told to be, epoch by epoch."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.losses = losses
        self.drawn: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.drawn.append(float(torch.rand(())))
        return self.layer(batch[0] + torch.randn_like(batch[0])).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.losses[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


def loader(shuffle: bool) -> DataLoader[Any]:
    # Torch's own shuffling draws from the global generator: the harder case to resume.
    return DataLoader(TensorDataset(torch.randn(10, 4)), batch_size=3, shuffle=shuffle)


def fit(
    folder: Path, losses: list[float], epochs: int, resume: bool = False, **options: Any
) -> tuple[Toy, Checkpoints]:
    torch.manual_seed(0)
    model, kept = Toy(losses), Checkpoints(str(folder), **options)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[kept],
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        model, loader(True), loader(False), ckpt_path=str(folder / "last.ckpt") if resume else None
    )
    return model, kept


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*`weights_only` was not set"),
    pytest.mark.filterwarnings("ignore:.*that has an uneven"),
]


@pytest.mark.parametrize(
    ("losses", "mode", "best"),
    [
        ([3.0, 1.0, 2.0], "min", 1),
        ([3.0, 1.0, 4.0], "max", 2),
        ([float("nan"), 5.0, 6.0], "min", 1),
        ([-float("inf"), 5.0, float("nan")], "min", 1),
        ([2.0, 2.0, 2.0], "min", 0),
    ],
)
def test_the_best_is_by_the_metric(
    tmp_path: Path, losses: list[float], mode: Any, best: int
) -> None:
    _, kept = fit(tmp_path, losses, 3, mode=mode)
    assert kept.best_epoch == best
    assert kept.best_score == losses[best]
    content = torch.load(kept.best_path, weights_only=True)
    assert content["epoch"] == best
    assert content["optimizer_states"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_without_a_finite_score_there_is_no_best(tmp_path: Path) -> None:
    _, kept = fit(tmp_path, [float("nan")] * 2, 2)
    assert not kept.best_path.exists()
    assert kept.last_path.exists()


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_resumed_fit_is_exact_with_torchs_own_shuffling(
    tmp_path: Path, stopped_after: int
) -> None:
    losses = [3.0, 1.0, 2.0, 0.5]
    whole, whole_kept = fit(tmp_path / "whole", losses, 4)
    first, _ = fit(tmp_path / "part", losses, stopped_after)
    second, kept = fit(tmp_path / "part", losses, 4, resume=True)
    assert first.drawn + second.drawn == whole.drawn
    assert torch.equal(second.layer.weight, whole.layer.weight)
    assert (kept.best_score, kept.best_epoch) == (whole_kept.best_score, whole_kept.best_epoch)


class Breaking(Toy):
    """A model that breaks in an epoch."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 3 and batch_idx == 2:
            raise OSError("the power went off")
        return super().training_step(batch, batch_idx)


def test_a_run_with_few_checkpoints_repeats_what_it_did_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [3.0, 1.0, 2.0, 0.5, 4.0]
    whole, whole_kept = fit(tmp_path / "whole", losses, 5)
    monkeypatch.setitem(globals(), "Toy", Breaking)
    with pytest.raises(OSError, match="the power"):
        fit(tmp_path / "part", losses, 5, every_n_epochs=2)
    assert torch.load(tmp_path / "part" / "last.ckpt", weights_only=True)["epoch"] == 2
    monkeypatch.undo()
    second, kept = fit(tmp_path / "part", losses, 5, resume=True, every_n_epochs=2)
    assert second.drawn == whole.drawn[8:]
    assert torch.equal(second.layer.weight, whole.layer.weight)
    assert (kept.best_score, kept.best_epoch) == (whole_kept.best_score, whole_kept.best_epoch)


def test_a_resumed_fit_counts_epochs_and_steps_on(tmp_path: Path) -> None:
    fit(tmp_path, [1.0] * 4, 2)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (content["epoch"], content["global_step"]) == (2, 8)
    model, _ = fit(tmp_path, [1.0] * 4, 4, resume=True)
    assert len(model.drawn) == 8
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (content["epoch"], content["global_step"]) == (4, 16)


def test_a_metric_that_is_not_logged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'val/los', which is not logged; did you mean 'val/loss'"):
        fit(tmp_path, [1.0], 1, monitor="val/los")


def test_broken_weights_are_not_kept(tmp_path: Path) -> None:
    kept, model = Checkpoints(str(tmp_path)), Toy([1.0])
    saved: list[Path] = []
    trainer: Any = SimpleNamespace(
        fast_dev_run=False, current_epoch=3, save_checkpoint=lambda path: saved.append(path)
    )
    kept.on_train_epoch_start(trainer, model)
    assert saved == [tmp_path / "last.ckpt"]
    model.layer.weight.data[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"layer.weight became NaN .* epoch 3"):
        kept.on_train_epoch_start(trainer, model)
    assert len(saved) == 1


def draw() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(())),
        float(torch.randn(())),
    ]


def test_generators_go_on_where_they_were_also_through_a_file(tmp_path: Path) -> None:
    draw()  # half of a pair of normal numbers is now waiting in Python's and NumPy's generators
    torch.save(capture_random_state(), tmp_path / "state")
    expected = [draw(), draw()]
    restore_random_state(torch.load(tmp_path / "state", weights_only=True))
    assert [draw(), draw()] == expected


def test_capturing_draws_nothing() -> None:
    state = capture_random_state()
    expected = draw()
    restore_random_state(state)
    capture_random_state()
    assert draw() == expected


def test_of_several_metrics_the_first_that_is_logged_counts(tmp_path: Path) -> None:
    _, kept = fit(tmp_path, [3.0, 1.0, 2.0], 3, monitor=["val/objective", "val/loss"])
    assert (kept.best_epoch, kept.best_score) == (1, 1.0)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_where_none_is_logged_the_last_epoch_is_the_best(
    tmp_path: Path, mode: Literal["min", "max"], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="mixvae")
    _, kept = fit(tmp_path, [1.0, 2.0, 3.0], 3, monitor=["a", "b"], mode=mode)
    assert kept.best_epoch == 2
    said = [one.message for one in caplog.records if one.name == "mixvae"]
    assert said == [
        "the model logs neither a nor b: best.ckpt holds the last validated epoch;"
        " callbacks.checkpoints.monitor names another metric"
    ]
