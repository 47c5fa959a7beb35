"""Stops a training at a moment."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
from lightning.pytorch import Callback

from mixvae.runs import training


class StopAt(Callback):
    """Raise at a moment of training; `batch` counts in `on_train_batch_end` alone."""

    def __init__(
        self, hook: str, epoch: int, error: type[BaseException] = KeyboardInterrupt, batch: int = 0
    ) -> None:
        def stop(trainer: Any, pl_module: Any, *rest: Any) -> None:
            here = hook != "on_train_batch_end" or rest[-1] == batch
            if here and trainer.current_epoch == epoch:
                raise error

        setattr(self, hook, stop)


@contextmanager
def stopping(stop: StopAt) -> Any:
    """Let the runs of this process stop at a moment."""
    build = training.build

    def build_with_stop(cfg: Any) -> Any:
        parts = build(cfg)
        parts.trainer.callbacks.insert(0, stop)
        return parts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build", build_with_stop)
        yield
