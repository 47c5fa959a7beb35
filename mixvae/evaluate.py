"""Test a run again from its folder: `python -m mixvae.evaluate run=FOLDER`; see --help."""

from __future__ import annotations

from functools import partial

from mixvae.cli.errors import run_as_process
from mixvae.cli.requests import run_request
from mixvae.cli.run_requests import EvaluateRequest
from mixvae.cli.schema import register
from mixvae.starting import quick_imports

register()


def _evaluate(request: EvaluateRequest) -> None:
    # Imports PyTorch, which takes seconds: only for a command line that can be run.
    with quick_imports():
        from mixvae.runs.evaluating import evaluate

    evaluate(request)


main = partial(run_request, EvaluateRequest, _evaluate)
command = partial(run_as_process, main)

if __name__ == "__main__":
    command()
