"""Writes figures into the run folder; logs figures and tables to every logger that takes them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import Callback, Trainer
from matplotlib.figure import Figure

from mixvae.callbacks.lightning_parts import callbacks_of
from mixvae.figures.style import STYLES, save_png, styled
from mixvae.files import replacing

NamedFigures = Iterator[tuple[str, Figure]]


FORMATS = ("svg", "pdf")


class FigureSettings(Callback):
    """How `save_pictures` writes the figures of a run.

    Args:
        format: Of a vector copy beside each PNG: svg, pdf, or None for none.
        style: screen or paper.
    """

    def __init__(self, format: str | None = None, style: str = "screen") -> None:
        if format not in (None, *FORMATS):
            raise ValueError(f"figures.format is {format!r}; use {', '.join(FORMATS)} or null")
        if style not in STYLES:
            raise ValueError(f"figures.style is {style!r}; use one of {', '.join(STYLES)}")
        self.format, self.style = format, style


@runtime_checkable
class PictureLogger(Protocol):
    """A Lightning logger that takes pictures, such as the one of W&B."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Log pictures, given as paths, under a name; `step` is the epoch, from 0."""


@runtime_checkable
class TableLogger(Protocol):
    """A Lightning logger that takes tables, such as the one of W&B."""

    def log_table(self, key: str, columns: list[str], data: list[list[Any]]) -> None:
        """Log a table under a name."""


def log_table(trainer: Trainer, name: str, columns: Sequence[str], rows: Sequence[Any]) -> None:
    """Log a table to every logger that takes tables."""
    for logger in trainer.loggers:
        if isinstance(logger, TableLogger):
            logger.log_table(
                key=f"tables/{name}", columns=list(columns), data=[list(row) for row in rows]
            )


def save_pictures(
    trainer: Trainer, dirpath: Path, figures: NamedFigures, milestone: int | None = None
) -> None:
    """Write `figures/<name>.png` and log each, one in memory at a time, on the first rank.

    Args:
        milestone: An epoch in training, from 1: files go to `figures/milestones`, and the loggers'
            pictures of all milestones of a name form one series.
    """
    own = (item for item in callbacks_of(trainer) if isinstance(item, FigureSettings))
    settings = next(own, FigureSettings())
    with styled(settings.style):
        for name, figure in figures:
            path = dirpath / "figures" / f"{name}.png"
            if milestone is not None:
                path = dirpath / "figures/milestones" / f"{name}_epoch{milestone}.png"
            _write(figure, path)
            if settings.format is not None and milestone is None:
                _write(figure, path.with_suffix(f".{settings.format}"))
            for logger in trainer.loggers:
                if isinstance(logger, PictureLogger):
                    folder = "figures" if milestone is None else "milestones"
                    epoch = trainer.current_epoch
                    logger.log_image(f"{folder}/{name}", [str(path)], step=epoch)


def _write(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary, warnings.catch_warnings():
        # Class names may be long, or of scripts that the font lacks: the picture is still drawn.
        warnings.filterwarnings("ignore", r"Glyph \d+ |constrained_layout not applied")
        if path.suffix == ".png":
            save_png(figure, temporary)
        else:
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.1)
