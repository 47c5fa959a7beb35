"""Write the report of a run or a sweep: `python -m mixvae.report run=FOLDER`; see --help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from mixvae.cli.errors import run_as_process
from mixvae.cli.requests import run_request
from mixvae.cli.run_requests import ReportRequest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (None: the process's own) and return its exit status."""
    return run_request(ReportRequest, _report, arguments)


def _report(request: ReportRequest) -> None:
    from mixvae.reports.page import is_sweep, write_run_report, write_sweep_report

    write = write_sweep_report if is_sweep(request.run) else write_run_report
    print(f"report         {write(request.run)}")


def command() -> NoReturn:
    """Run the process's command line and end the process."""
    run_as_process(main)


if __name__ == "__main__":
    command()
