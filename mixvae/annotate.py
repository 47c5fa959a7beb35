"""Put a run's categories and states into AnnData: `python -m mixvae.annotate`; see --help.

In memory: `from mixvae.annotate import annotate; adata = annotate(adata, run="runs/...")`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvae.cli.annotate_request import AnnotateRequest
from mixvae.cli.errors import run_guarded
from mixvae.cli.schema import register
from mixvae.runs.finished_runs import launch_annotation

register()


def annotate(adata: Any, run: str | Path, **options: Any) -> Any:
    """Return a copy of an AnnData object with a run's categories and states in it.

    Args:
        adata: Cells, in memory; it is not changed.
        run: The run's folder.
        **options: `checkpoint`, `agent`, `layer`, `target_sum`, `max_missing` and `batch_size` as
            on the command line.

    Returns:
        The copy, with what `python -m mixvae.annotate --help` names.

    Raises:
        OSError: If there is no such run or checkpoint.
        ValueError: If the run is not one of cells, or its genes or their preparation do not fit.
    """
    # Here, so that a wrong command line is refused before PyTorch is imported.
    from mixvae.runs.annotating import annotated_copy

    return annotated_copy(adata, AnnotateRequest(Path(run), **options))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: The command line without the program's name; None takes the process's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: launch_annotation(given), given)


if __name__ == "__main__":
    sys.exit(main())
