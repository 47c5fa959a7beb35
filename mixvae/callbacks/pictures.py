"""Writes figures into the run folder and logs them to every logger that takes pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import Trainer
from matplotlib.figure import Figure

from mixvae.files import replacing

NamedFigures = Iterator[tuple[str, Figure]]


@runtime_checkable
class PictureLogger(Protocol):
    """A Lightning logger that takes pictures, such as the one of W&B."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Log pictures, given as paths, under a name."""


def save_pictures(trainer: Trainer, dirpath: Path, figures: NamedFigures) -> None:
    """Write `figures/<name>.png` and log each, one in memory at a time, on the first rank."""
    for name, figure in figures:
        path = dirpath / "figures" / f"{name}.png"
        with replacing(path) as temporary:
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.1)
        for logger in trainer.loggers:
            if isinstance(logger, PictureLogger):
                logger.log_image(f"figures/{name}", [str(path)])
