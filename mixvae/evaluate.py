"""Test a run again from its folder: `python -m mixvae.evaluate run=FOLDER`; see --help."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mixvae.cli.errors import run_guarded
from mixvae.cli.schema import register
from mixvae.runs.finished_runs import launch_evaluation

register()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: The command line without the program's name; None takes the process's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: launch_evaluation(given), given)


if __name__ == "__main__":
    sys.exit(main())
