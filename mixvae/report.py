"""Write the report of a run or a sweep: `python -m mixvae.report run=FOLDER`; see --help."""

from __future__ import annotations

from functools import partial

from mixvae.cli.errors import run_as_process
from mixvae.cli.requests import run_request
from mixvae.cli.run_requests import ReportRequest


def _report(request: ReportRequest) -> None:
    from mixvae.reports.page import is_sweep, write_run_report, write_sweep_report

    write = write_sweep_report if is_sweep(request.run) else write_run_report
    print(f"report         {write(request.run)}")


main = partial(run_request, ReportRequest, _report)
command = partial(run_as_process, main)

if __name__ == "__main__":
    command()
