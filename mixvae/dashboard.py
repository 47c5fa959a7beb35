"""Make a W&B workspace of mixvae's charts: `python -m mixvae.dashboard project=...`."""

from __future__ import annotations

from functools import partial

from mixvae.cli.errors import run_as_process
from mixvae.cli.requests import run_request
from mixvae.cli.run_requests import DashboardRequest


def _make(request: DashboardRequest) -> None:
    from mixvae.engine.dashboards import save_dashboard

    for line in save_dashboard(request):
        print(line)


main = partial(run_request, DashboardRequest, _make)
command = partial(run_as_process, main)

if __name__ == "__main__":
    command()
