"""Make a W&B workspace of mixvae's charts: `python -m mixvae.dashboard project=...`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from mixvae.cli.dashboard_request import DashboardRequest
from mixvae.cli.errors import run_as_process
from mixvae.cli.requests import run_request


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (None: the process's own) and return its exit status."""
    return run_request(DashboardRequest, _make, arguments)


def _make(request: DashboardRequest) -> None:
    from mixvae.engine.dashboards import save_dashboard

    for line in save_dashboard(request):
        print(line)


def command() -> NoReturn:
    """Run the process's command line and end the process."""
    run_as_process(main)


if __name__ == "__main__":
    command()
