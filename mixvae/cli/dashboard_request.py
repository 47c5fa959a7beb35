"""The request of `mixvae.dashboard`, and the file that it names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixvae.cli.schema import named_file


@dataclass(kw_only=True)
class DashboardRequest:
    """Make a W&B workspace and a W&B report: python -m mixvae.dashboard project=NAME.

      project=NAME         the W&B project with the runs of mixvae
      dashboard=mixtures   one of conf/dashboard, mixtures or modalities, or a .yaml file
      entity=TEAM          W&B team or user; the default is that of the login
      kind=both            workspace, report or both
      dry_run=true         check the file and print sections and charts; send nothing
      debug=true           show the full traceback of an error

    Examples:
      python -m mixvae.dashboard project=mixvae dry_run=true
      python -m mixvae.dashboard project=rats dashboard=modalities
    """

    project: str
    dashboard: str = "mixtures"
    entity: str | None = None
    kind: Literal["workspace", "report", "both"] = "both"
    dry_run: bool = False

    @property
    def file(self) -> Path:
        """The dashboard's file."""
        return named_file("dashboard", "dashboard", self.dashboard)
