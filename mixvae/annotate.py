"""Write a run's categories and states into AnnData: `python -m mixvae.annotate`; see --help.

In memory: `from mixvae.annotate import annotate; adata = annotate(adata, run="runs/...")`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mixvae.cli.errors import run_as_process, run_guarded
from mixvae.cli.requests import help_of, read_request
from mixvae.cli.run_requests import AnnotateOptions, AnnotateRequest
from mixvae.cli.schema import register

register()


def annotate(adata: Any, run: str | Path, **options: Any) -> Any:
    """Return a copy of an AnnData object with a run's categories and states in it.

    Args:
        adata: Cells, in memory; not changed.
        **options: `checkpoint`, `agent`, `layer`, `target_sum`, `max_missing` and `batch_size` as
            on the command line.

    Returns:
        The copy, with the columns that `python -m mixvae.annotate --help` lists.

    Raises:
        OSError: If the run or checkpoint is missing.
        ValueError: If the run was not trained on cells, or the genes or their preparation differ.
    """
    from mixvae.runs.annotating import annotated_copy

    return annotated_copy(adata, AnnotateOptions(run=Path(run), **options))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (None: the process's own) and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: _annotate(given), given, lambda: help_of(AnnotateRequest))


def _annotate(arguments: Sequence[str]) -> None:
    request = read_request(AnnotateRequest, arguments)
    # Imports PyTorch, which takes seconds: only for a command line that can be run.
    from mixvae.runs.annotating import annotate_file

    annotate_file(request)


def command() -> NoReturn:
    """Run the process's command line and end the process."""
    run_as_process(main)


if __name__ == "__main__":
    command()
