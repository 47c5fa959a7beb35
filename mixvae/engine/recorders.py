"""Loggers that record a run as a whole: told apart without importing the packages they need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class RunRecorder(Protocol):
    """A Lightning logger that has a run of its own, such as the one of W&B.

    Attributes:
        sync_folder: Folder of what is still to be sent; None: nothing.
    """

    sync_folder: Path | None

    def identify(self, run_id: str, group: str | None, name: str) -> None:
        """Set id, group and name, before anything is logged."""

    def finish(self, summary: Mapping[str, Any], *, failed: bool) -> None:
        """Write the summary and end the run."""
