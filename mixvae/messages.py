"""Log messages for the user, written once, by process 0 of a run."""

from __future__ import annotations

import logging

from lightning.pytorch.utilities import rank_zero_only

logger = logging.getLogger("mixvae")


@rank_zero_only
def inform(message: str) -> None:
    """Log information."""
    logger.info(message)


@rank_zero_only
def warn(message: str) -> None:
    """Log a warning, which the run's summary keeps."""
    logger.warning(message)
