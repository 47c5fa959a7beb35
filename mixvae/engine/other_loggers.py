"""Loggers beside metrics.csv and W&B, whose packages are imported only where they are asked for."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from mixvae.engine.dashboards import shipped_dashboards


class TensorBoardRun(TensorBoardLogger):
    """Metrics and pictures over epochs, in the sections and charts of `conf/dashboard`."""

    _laid_out = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at their epoch, and once the layout of the charts."""
        values = dict(metrics)
        epoch = int(values.pop("epoch", step or 0))
        if not self._laid_out and any(name.startswith("val/") for name in values):
            self._laid_out = True
            self.experiment.add_custom_scalars(layout_for(list(values)))
        super().log_metrics(values, epoch)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Any], step: int | None = None) -> None:
        """Log pictures, given as paths, at an epoch."""
        for path in images:
            picture = np.asarray(Image.open(path).convert("RGB"))
            self.experiment.add_image(key, picture, step, dataformats="HWC")


def layout_for(names: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """The charts of the dashboard that has most of the metrics, for TensorBoard's custom scalars.

    Test values, pictures and settings have no chart over epochs.
    """
    layouts = []
    for content in shipped_dashboards():
        layout: dict[str, dict[str, list[Any]]] = {}
        for section, charts in content["sections"].items():
            for chart in charts:
                tags = [f"^{name}$" for name in chart.get("y", ())]
                tags += [chart["regex"]] if "regex" in chart else []
                if tags:
                    layout.setdefault(section, {})[chart["title"]] = ["Multiline", tags]
        own = [t for charts in layout.values() for _, tags in charts.values() for t in tags]
        layouts.append((sum(any(re.match(tag, name) for tag in own) for name in names), layout))
    return max(layouts, key=lambda pair: pair[0])[1]


def tensorboard(save_dir: str, **options: Any) -> TensorBoardRun:
    """A TensorBoardLogger with its files in `save_dir/tensorboard`.

    Raises:
        ImportError: If the package tensorboard is missing.
    """
    _require("tensorboard", ("tensorboard",))
    return TensorBoardRun(save_dir, name="tensorboard", version="", **options)


def mlflow(
    tracking_uri: str | None = None,
    experiment_name: str = "mixvae",
    run_name: str | None = None,
    **options: Any,
) -> MLFlowLogger:
    """Lightning's MLFlowLogger.

    Args:
        tracking_uri: Of a server or a database; None takes MLFLOW_TRACKING_URI, or else
            sqlite:///mlflow.db.

    Raises:
        ImportError: If mlflow is missing, or what it keeps a database with.
    """
    _require("mlflow", ("mlflow",))
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if uri.startswith("sqlite"):
        _require("mlflow", ("sqlalchemy", "alembic"))
    # MLflow logs every table that it creates.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MLFlowLogger(experiment_name, run_name, tracking_uri=uri, **options)


def _require(option: str, packages: tuple[str, ...]) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"logger={option} needs {' and '.join(missing)}: pip install {' '.join(missing)}; or"
            " choose another logger, such as logger=csv"
        )
