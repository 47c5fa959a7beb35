"""Write the report of one or several runs: `python -m mixvae.report run=FOLDER`; see --help."""

from __future__ import annotations

from functools import partial

from mixvae.cli.errors import run_as_process
from mixvae.cli.requests import run_request
from mixvae.cli.run_requests import ReportRequest


def _report(request: ReportRequest) -> None:
    from mixvae.reports.page import REPORT, write_run_report
    from mixvae.reports.sweep import is_sweep, runs_in, write_comparison, write_sweep_report

    first, *others = request.run
    if others:
        path = write_comparison(request.run, request.out)
    elif is_sweep(first):
        path = write_sweep_report(first)
    elif runs := runs_in(first):
        path = write_comparison(runs, first / REPORT)
    else:
        path = write_run_report(first)
    print(f"report         {path}")


main = partial(run_request, ReportRequest, _report)
command = partial(run_as_process, main)

if __name__ == "__main__":
    command()
