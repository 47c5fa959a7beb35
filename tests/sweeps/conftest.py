"""Sweeps and searches: their tables, and an interrupt in the middle of a run."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from mixvae.runs import training
from mixvae.runs.build import build

Interrupted = Callable[[], AbstractContextManager[None]]


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def statuses(sweep: Path) -> list[str]:
    """The status of every job in a sweep's table."""
    return [row["status"] for row in read_csv(sweep / "sweep.csv")]


class Interrupt(Callback):
    """Press Ctrl-C in the second epoch."""

    def on_train_batch_end(self, trainer: Any, *others: Any, **named: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    """A context in which every run is interrupted in its second epoch."""

    def build_interrupted(cfg: Any) -> Any:
        parts = build(cfg)
        parts.trainer.callbacks.insert(0, Interrupt())
        return parts

    @contextmanager
    def context() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(training, "build", build_interrupted)
            yield

    return context
