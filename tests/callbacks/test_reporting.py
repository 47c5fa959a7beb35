from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mixvae.callbacks.reporting import (
    LoggedObjective,
    Reporting,
    RunPruned,
    UnknownMetricError,
    unknown_metric,
)


def trainer(epoch: int, **logged: float) -> Any:
    return SimpleNamespace(callback_metrics=logged, current_epoch=epoch, sanity_checking=False)


def test_each_validated_epoch_is_reported_once() -> None:
    seen: list[tuple[int, float]] = []
    reporting = Reporting("loss", lambda epochs, value: bool(seen.append((epochs, value))))
    reporting.on_validation_end(trainer(0), None)
    reporting.on_train_epoch_end(trainer(0, loss=3.0), None)
    # An epoch without a validation has no new value.
    reporting.on_train_epoch_end(trainer(1, loss=3.0), None)
    assert seen == [(1, 3.0)]


def test_the_run_ends_where_the_search_says_so() -> None:
    reporting = Reporting("loss", lambda epochs, value: epochs > 1)
    reporting.on_validation_end(trainer(0), None)
    reporting.on_train_epoch_end(trainer(0, loss=3.0), None)
    reporting.on_validation_end(trainer(1), None)
    with pytest.raises(RunPruned, match="pruned after 2 epochs at loss 3"):
        reporting.on_train_epoch_end(trainer(1, loss=3.0), None)


def test_a_metric_that_is_not_logged_is_told_with_the_nearest() -> None:
    reporting = Reporting("val/los", lambda epochs, value: False)
    reporting.on_validation_end(trainer(0), None)
    with pytest.raises(UnknownMetricError, match="did you mean 'val/loss'"):
        reporting.on_train_epoch_end(trainer(0, **{"val/loss": 1.0}), None)
    assert unknown_metric("x", ["b", "a"]).endswith("choose one of a, b")


def test_an_objective_of_validation_is_looked_for_at_the_first_one() -> None:
    logged = {"val/loss": 1.0}
    with pytest.raises(UnknownMetricError, match=r"objective is 'val/los'.*mean 'val/loss'"):
        LoggedObjective("val/los").on_validation_end(trainer(0, **logged), None)
    for objective in ("val/loss", "test/accuracy"):
        LoggedObjective(objective).on_validation_end(trainer(0, **logged), None)
