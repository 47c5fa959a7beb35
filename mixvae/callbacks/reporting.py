"""Reports a metric to a search, and stops a run that is pruned or does not log the metric."""

from __future__ import annotations

from collections.abc import Callable

from lightning.pytorch import Callback, LightningModule, Trainer

from mixvae.suggestions import suggestion


class RunPruned(Exception):
    """A search stopped the run, since others were better at the same epoch."""


class UnknownMetricError(ValueError):
    """The run does not log a metric that a setting names."""


class Reporting(Callback):
    """Report a metric at the end of each epoch with a validation.

    Args:
        report: Takes the number of epochs trained and the metric; returns whether to stop the run.
    """

    def __init__(self, metric: str, report: Callable[[int, float], bool]) -> None:
        self.metric = metric
        self.report = report
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note a new value."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the value after every callback has logged, and raise RunPruned to stop."""
        if not self._validated:
            return
        self._validated = False
        epochs, value = trainer.current_epoch + 1, logged_value(trainer, self.metric)
        if self.report(epochs, value):
            raise RunPruned(f"pruned after {epochs} epochs at {self.metric} {value:.4g}")


class LoggedObjective(Callback):
    """Stop at the first validation if it does not log the metric that the run returns.

    Args:
        objective: Name of the metric; only `val/...` is expected at a validation.
    """

    def __init__(self, objective: str) -> None:
        self.objective = objective

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise UnknownMetricError if the metric is not logged."""
        if self.objective.startswith("val/") and not trainer.sanity_checking:
            logged_value(trainer, self.objective, "objective")


def logged_value(trainer: Trainer, metric: str, setting: str = "metric") -> float:
    """Return the last value of a metric that a setting names."""
    logged = trainer.callback_metrics
    if metric not in logged:
        raise UnknownMetricError(unknown_metric(metric, list(logged), setting))
    return float(logged[metric])


def unknown_metric(metric: str, logged: list[str], setting: str = "metric") -> str:
    """Return the message for a metric that is not logged, with the nearest logged one, or all."""
    return f"{setting} is {metric!r}, which is not logged{suggestion(metric, logged)}"
