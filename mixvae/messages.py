"""What callbacks tell the user: once, by the first process of a run."""

from __future__ import annotations

import logging

from lightning.pytorch.utilities import rank_zero_only

logger = logging.getLogger("mixvae")


@rank_zero_only
def inform(message: str) -> None:
    """Tell what happened."""
    logger.info(message)


@rank_zero_only
def warn(message: str) -> None:
    """Tell what went wrong; it is kept in the run's summary."""
    logger.warning(message)
