"""Search for good settings, or collect a sweep's: `python -m mixvae.sweep --help` says how."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from mixvae.cli.errors import run_as_process, run_guarded
from mixvae.cli.requests import help_of
from mixvae.cli.schema import register
from mixvae.cli.search_request import SweepRequest
from mixvae.sweeps.search import launch_sweep

register()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (None: the process's own) and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: launch_sweep(given), given, lambda: help_of(SweepRequest))


command = partial(run_as_process, main)


if __name__ == "__main__":
    command()
