"""Fill in missing modalities by a run: `python -m mixvae.impute`; see --help.

In memory: `from mixvae.impute import impute; filled = impute({"a": a}, run="runs/...")`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixvae.cli.errors import run_guarded
from mixvae.cli.impute_request import ImputeRequest
from mixvae.cli.schema import register
from mixvae.runs.finished_runs import launch_imputation

register()


def impute(arrays: Mapping[str, Any], run: str | Path, **options: Any) -> dict[str, Any]:
    """Fill in what events lack of a run's modalities, and tell their latents.

    Args:
        arrays: Array of each modality that there is, by name, shape (N, *shape_m); row i of each
            belongs to event i, and a row of NaN is missing. A modality left out is missing.
        run: The run's folder.
        **options: `checkpoint`, `source` and `batch_size` as on the command line.

    Returns:
        What `python -m mixvae.impute --help` names, by name: `a/filled`, `a/missing`, `a/mean`...

    Raises:
        OSError: If there is no such run or checkpoint.
        ValueError: If the run is not one of several modalities, or the arrays do not fit it.
    """
    # Here, so that a wrong command line is refused before PyTorch is imported.
    from mixvae.runs.imputing import imputed_arrays

    return imputed_arrays(arrays, ImputeRequest(Path(run), **options))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: The command line without the program's name; None takes the process's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: launch_imputation(given), given)


if __name__ == "__main__":
    sys.exit(main())
