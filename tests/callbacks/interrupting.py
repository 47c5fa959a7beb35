"""Runs that are interrupted and resumed, compared with undisturbed ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from mixvae.runs import training
from mixvae.runs.build import build
from mixvae.train import main

# A quick run on the digits, without the callbacks that cost the most.
SMALL = (
    "augmenter=noise",
    "model.information_weight=100",
    "model.state_dim=2",
    "model.agents.encoder.hidden=[16,8]",
    "model.agents.decoder.hidden=[16]",
    "num_threads=1",
    "logger=csv",
    "report=false",
    "data.batch_size=600",
    "~callbacks.figures",
    "~callbacks.state_analysis",
    "~callbacks.clusterability",
)


class StopAt(Callback):
    """Interrupt at a hook of an epoch."""

    def __init__(self, hook: str, epoch: int) -> None:
        self.epoch = epoch
        setattr(self, hook, self._stop)

    def _stop(self, trainer: Any, *_: object) -> None:
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


Interrupted = Callable[..., int]


def interrupt_and_resume(
    patch: pytest.MonkeyPatch,
    options: Sequence[str],
    folder: Path,
    hook: str,
    epoch: int,
    place: int | None = 0,
) -> int:
    """Interrupt a run, `place` being the stop's among the callbacks (None: the last); resume it."""

    def build_with_stop(cfg: Any) -> Any:
        parts = build(cfg)
        callbacks = parts.trainer.callbacks
        callbacks.insert(len(callbacks) if place is None else place, StopAt(hook, epoch))
        return parts

    with patch.context() as context:
        context.setattr(training, "build", build_with_stop)
        assert main([*options, f"run_dir={folder}"]) == 130
    return main([f"resume={folder}"])


def load(folder: Path, name: str = "last") -> dict[str, Any]:
    """Read a checkpoint of a run."""
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same(whole: Path, parts: Path, *names: str) -> None:
    """Compare metrics, and the weights and optimiser's moments of some checkpoints."""
    assert (parts / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    for name in names:
        one, other = load(whole, name), load(parts, name)
        assert one["epoch"] == other["epoch"]
        for key, tensor in one["state_dict"].items():
            assert torch.equal(tensor, other["state_dict"][key]), (name, key)
        for first, second in zip(one["optimizer_states"], other["optimizer_states"], strict=True):
            for a, b in zip(first["state"].values(), second["state"].values(), strict=True):
                assert all(torch.equal(a[key], b[key]) for key in a)
