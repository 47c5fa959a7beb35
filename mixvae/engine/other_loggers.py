"""Loggers beside metrics.csv and W&B, whose packages are imported only where they are asked for."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger


def tensorboard(save_dir: str, **options: Any) -> TensorBoardLogger:
    """Lightning's TensorBoardLogger, with its files in `save_dir/tensorboard`.

    Raises:
        ImportError: If the package tensorboard is missing.
    """
    _require("tensorboard", ("tensorboard",))
    return TensorBoardLogger(save_dir, name="tensorboard", version="", **options)


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
