"""Tells a search how a run goes, and stops the run if there is no hope in it or no such metric."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from lightning.pytorch import Callback, LightningModule, Trainer


class RunPruned(Exception):
    """A search stopped the run, since others were better at its epoch."""


class UnknownMetricError(ValueError):
    """A metric was asked for that the run does not log."""


class Reporting(Callback):
    """Report a metric at the end of each epoch that was validated.

    Args:
        metric: Name of a logged metric.
        report: Given the number of epochs trained and the metric, it says whether to stop the run.
    """

    def __init__(self, metric: str, report: Callable[[int, float], bool]) -> None:
        self.metric = metric
        self.report = report
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that there is a new value."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report it, now that every callback has logged.

        Raises:
            RunPruned: If the run is to stop.
            UnknownMetricError: If the metric is not logged.
        """
        if not self._validated:
            return
        self._validated = False
        logged = trainer.callback_metrics
        if self.metric not in logged:
            raise UnknownMetricError(unknown_metric(self.metric, list(logged)))
        epochs, value = trainer.current_epoch + 1, float(logged[self.metric])
        if self.report(epochs, value):
            raise RunPruned(f"pruned after {epochs} epochs at {self.metric} {value:.4g}")


class LoggedObjective(Callback):
    """Stop at the first validation where the metric that a run is to return is not logged.

    Args:
        objective: Name of the metric; only `val/...` is expected at a validation.
    """

    def __init__(self, objective: str) -> None:
        self.objective = objective

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for it.

        Raises:
            UnknownMetricError: If it is not logged.
        """
        logged = trainer.callback_metrics
        expected = self.objective.startswith("val/") and not trainer.sanity_checking
        if expected and self.objective not in logged:
            raise UnknownMetricError(unknown_metric(self.objective, list(logged), "objective"))


def unknown_metric(metric: str, logged: list[str], setting: str = "metric") -> str:
    """Return what to say of a metric that is not logged: the nearest one, or all.

    Args:
        metric: The name given.
        logged: The names that there are.
        setting: Name of the setting that names it.
    """
    near = get_close_matches(metric, logged, n=1)
    there = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(sorted(logged))}"
    return f"{setting} is {metric!r}, which is not logged; {there}"
