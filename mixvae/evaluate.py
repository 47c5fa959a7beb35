"""Test a run again from its folder: `python -m mixvae.evaluate run=FOLDER`; see --help."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from mixvae.cli.errors import run_as_process, run_guarded
from mixvae.cli.requests import help_of, read_request
from mixvae.cli.run_requests import EvaluateRequest
from mixvae.cli.schema import register

register()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (None: the process's own) and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: _evaluate(given), given, lambda: help_of(EvaluateRequest))


def _evaluate(arguments: Sequence[str]) -> None:
    request = read_request(EvaluateRequest, arguments)
    # Imports PyTorch, which takes seconds: only for a command line that can be run.
    from mixvae.runs.evaluating import evaluate

    evaluate(request)


def command() -> NoReturn:
    """Run the process's command line and end the process."""
    run_as_process(main)


if __name__ == "__main__":
    command()
