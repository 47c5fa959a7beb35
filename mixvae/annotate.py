"""Write a run's categories and states into AnnData: `python -m mixvae.annotate`; see --help.

In memory: `from mixvae.annotate import annotate; adata = annotate(adata, run="runs/...")`.
"""

from __future__ import annotations

from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from mixvae.cli.errors import run_as_process
from mixvae.cli.requests import run_request
from mixvae.cli.run_requests import AnnotateRequest
from mixvae.cli.schema import register
from mixvae.starting import quick_imports, unnoticed_imports

register()


def annotate(adata: Any, run: str | PathLike[str], **options: Any) -> Any:
    """Return a copy of an AnnData object with a run's categories and states in it.

    Args:
        adata: Cells, in memory; not changed.
        **options: `checkpoint`, `agent`, `layer`, `target_sum`, `max_missing`, `batch_size` and
            `add` as on the command line.

    Returns:
        The copy, with the columns that `python -m mixvae.annotate --help` lists.
    """
    with unnoticed_imports():
        from mixvae.api.trained import Run
    return Run(Path(run)).annotate(adata, **options)


def _annotate(request: AnnotateRequest) -> None:
    # Imports PyTorch, which takes seconds: only for a command line that can be run.
    with quick_imports():
        from mixvae.runs.annotating import annotate_file

    annotate_file(request)


main = partial(run_request, AnnotateRequest, _annotate)
command = partial(run_as_process, main)

if __name__ == "__main__":
    command()
