"""Shows progress: a bar on a terminal and in a notebook, else a line for each logged epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from html import escape
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar

from mixvae.logging_schedule import is_logged

SHOWN = (
    *("train/loss", "val/loss", "val/reconstruction", "val/kl"),
    *("val/consensus", "val/imputation", "val/accuracy"),
)


class EpochLines(ProgressBar):
    """Print one line for each epoch that is logged, see `logging_schedule`."""

    def __init__(self, metrics: Sequence[str] = SHOWN) -> None:
        super().__init__()
        self.metrics = tuple(metrics)
        self._enabled = True
        self._started = 0.0
        self._epoch: int | None = None
        self._line = ""
        self._shown: Any = None

    def disable(self) -> None:
        """Stop printing."""
        self._enabled = False

    def enable(self) -> None:
        """Resume printing."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print a line."""
        if self._enabled:
            print(*args, flush=True, **kwargs)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start without an epoch to show."""
        self._epoch = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last epoch, whose metrics are complete only now."""
        self._show(trainer)
        self._epoch, self._started = trainer.current_epoch, time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last epoch."""
        self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        if self._epoch is None or not trainer.is_global_zero or not is_logged(trainer, self._epoch):
            return
        logged = _logged(trainer, self.metrics)
        values = "  ".join(f"{_short(name)} {value:.4g}" for name, value in logged.items())
        limit = trainer.max_epochs
        total = f"/{limit}" if limit is not None and limit > 0 else ""
        seconds = time.monotonic() - self._started
        self.print(f"epoch {self._epoch + 1}{total}  {values}  {seconds:.1f} s")


class NotebookBar(EpochLines):
    """A bar and the last logged line, in one place of a notebook's output; needs no widgets."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show an empty bar."""
        super().on_train_start(trainer, pl_module)
        self._line, self._shown = "", None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epochs that have ended."""
        super().on_train_epoch_start(trainer, pl_module)
        self._draw(trainer.current_epoch, trainer.max_epochs)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last epoch."""
        super().on_train_end(trainer, pl_module)
        self._draw(trainer.current_epoch, trainer.max_epochs)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Keep a line, to be drawn beside the bar."""
        self._line = " ".join(map(str, args))

    def _draw(self, epoch: int, max_epochs: int | None) -> None:
        # The notebook has imported it; it is no dependency of a run.
        from IPython.display import HTML, display

        limit = f' max="{max_epochs}"' if max_epochs is not None and max_epochs > 0 else ""
        bar = f'<progress value="{epoch}"{limit}></progress> <code>{escape(self._line)}</code>'
        if self._shown is None:
            self._shown = display(HTML(bar), display_id=True)
        else:
            self._shown.update(HTML(bar))


class EpochBar(RichProgressBar):
    """Lightning's Rich bar beside metrics that are read once an epoch and not once a batch."""

    def __init__(self, metrics: Sequence[str] = SHOWN) -> None:
        super().__init__(refresh_rate=10)
        self.metrics = tuple(metrics)
        self._shown: dict[str, int | str | float | dict[str, float]] = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the metrics of the last epoch."""
        if is_logged(trainer, trainer.current_epoch - 1):
            self._shown = {**_logged(trainer, self.metrics)}
        super().on_train_epoch_start(trainer, pl_module)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the metrics to show beside the bar."""
        return self._shown


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, such as Jupyter's."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _short(name: str) -> str:
    """A metric's name in a line: only losses are shown of both splits."""
    return name if name.endswith("/loss") else name.removeprefix("val/")


def _logged(trainer: Trainer, names: Sequence[str]) -> dict[str, float]:
    logged = trainer.callback_metrics
    return {name: float(logged[name]) for name in names if name in logged}


def progress(
    kind: Literal["auto", "bar", "lines", "none"] = "auto", metrics: Sequence[str] = SHOWN
) -> ProgressBar:
    """Return a callback that shows progress, and metrics if they are logged.

    Args:
        kind: `bar`, `lines` or `none`; `auto` is `bar` if the output is a terminal or a notebook,
            else `lines`.
    """
    notebook = in_notebook()
    if kind == "auto":
        kind = "bar" if notebook or sys.stdout.isatty() else "lines"
    if kind == "bar" and notebook:
        return NotebookBar(metrics)
    if kind == "bar":
        return EpochBar(metrics)
    if kind not in ("lines", "none"):
        raise ValueError(f"callbacks.progress.kind is {kind!r}; use auto, bar, lines or none")
    lines = EpochLines(metrics)
    if kind == "none":
        lines.disable()
    return lines
