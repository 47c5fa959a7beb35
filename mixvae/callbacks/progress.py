"""Shows how training goes: a Rich bar on a terminal, one plain line per told epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar

from mixvae.logging_schedule import is_told

SHOWN = ("train/loss", "val/loss", "val/accuracy", "val/consensus")


class EpochLines(ProgressBar):
    """Print one line for each epoch that is told of, see `rhythm`.

    Args:
        metrics: Logged metrics to show, where they exist.
    """

    def __init__(self, metrics: Sequence[str] = SHOWN) -> None:
        super().__init__()
        self.metrics = tuple(metrics)
        self._enabled = True
        self._started = 0.0
        self._epoch: int | None = None

    def disable(self) -> None:
        """Print nothing from now on."""
        self._enabled = False

    def enable(self) -> None:
        """Print again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print a line."""
        if self._enabled:
            print(*args, flush=True, **kwargs)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._epoch = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch before, whose metrics are complete only now."""
        self._show(trainer)
        self._epoch, self._started = trainer.current_epoch, time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last epoch."""
        self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        if self._epoch is None or not trainer.is_global_zero:
            return
        if not is_told(trainer, self._epoch):
            return
        values = "  ".join(
            f"{name} {float(trainer.callback_metrics[name]):.4g}"
            for name in self.metrics
            if name in trainer.callback_metrics
        )
        limit = trainer.max_epochs
        total = f"/{limit}" if limit is not None and limit > 0 else ""
        seconds = time.monotonic() - self._started
        self.print(f"epoch {self._epoch + 1}{total}  {values}  {seconds:.1f} s")


class EpochBar(RichProgressBar):
    """Lightning's Rich bar with our metrics beside it, read once an epoch and not once a batch.

    Args:
        metrics: Logged metrics to show, where they exist.
    """

    def __init__(self, metrics: Sequence[str] = SHOWN) -> None:
        super().__init__(refresh_rate=10)
        self.metrics = tuple(metrics)
        self._shown: dict[str, int | str | float | dict[str, float]] = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the metrics of the epoch before."""
        if is_told(trainer, trainer.current_epoch - 1):
            logged = trainer.callback_metrics
            self._shown = {name: float(logged[name]) for name in self.metrics if name in logged}
        super().on_train_epoch_start(trainer, pl_module)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what stands beside the bar."""
        return self._shown


def progress(
    kind: Literal["auto", "bar", "lines", "none"] = "auto", metrics: Sequence[str] = SHOWN
) -> ProgressBar:
    """Return the way to show progress.

    Args:
        kind: `bar`, `lines` or `none`; `auto` is a bar where the output is a terminal.
        metrics: Logged metrics to show, where they exist.

    Returns:
        A callback for the trainer.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind == "auto":
        kind = "bar" if sys.stdout.isatty() else "lines"
    if kind == "bar":
        return EpochBar(metrics)
    if kind not in ("lines", "none"):
        raise ValueError(f"callbacks.progress.kind is {kind!r}; use auto, bar, lines or none")
    lines = EpochLines(metrics)
    if kind == "none":
        lines.disable()
    return lines
