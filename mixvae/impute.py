"""Impute missing modalities by a run: `python -m mixvae.impute`; see --help.

In memory: `from mixvae.impute import impute; filled = impute({"a": a}, run="runs/...")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from mixvae.cli.errors import run_as_process
from mixvae.cli.requests import run_request
from mixvae.cli.run_requests import ImputeRequest
from mixvae.cli.schema import register
from mixvae.starting import quick_imports, unnoticed_imports

register()


def impute(arrays: Mapping[str, Any], run: str | PathLike[str], **options: Any) -> dict[str, Any]:
    """Impute the missing modalities of events, and return the latents of those present.

    Args:
        arrays: Array of each modality by name, shape (N, *shape_m); row i of each belongs to event
            i. A row of NaN is missing, and so is a modality without an array.
        **options: `checkpoint`, `source` and `batch_size` as on the command line.

    Returns:
        The arrays that `python -m mixvae.impute --help` lists: `a/filled`, `a/missing`, `a/mean`...
    """
    with unnoticed_imports():
        from mixvae.api.trained import Run
    return Run(Path(run)).impute(arrays, **options)


def _impute(request: ImputeRequest) -> None:
    # Imports PyTorch, which takes seconds: only for a command line that can be run.
    with quick_imports():
        from mixvae.runs.imputing import impute_files

    impute_files(request)


main = partial(run_request, ImputeRequest, _impute)
command = partial(run_as_process, main)

if __name__ == "__main__":
    command()
