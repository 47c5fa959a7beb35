"""The last check of a command line: every job's values, against what they are given to."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from mixvae.cli.config_file import PLACE
from mixvae.cli.errors import UsageError


def check_values(
    jobs: Sequence[DictConfig], *, multirun: bool = False, trusted_only: bool = False
) -> None:
    """Check the jobs' configs against constructors and each other; imports what they name.

    Args:
        jobs: Closed configs.
        multirun: Whether they are the jobs of a sweep.
        trusted_only: Refuse what a config that may be someone else's may not name.

    Raises:
        UsageError: Naming the first key that is wrong.
    """
    # Here, so that what is refused without it is refused before PyTorch is imported.
    from mixvae.cli.constructors import check_constructors

    named = [job.run_dir for job in jobs if job.run_dir is not None]
    if multirun and named:
        raise UsageError(
            f"run_dir={named[0]} is one run's folder, but -m makes one for each job, beside the"
            " sweep's tables; name the sweep's folder instead: hydra.sweep.dir=..."
        )
    for job in jobs:
        chosen = job.run_dir
        # One that is chosen later only has to be a text here.
        job.run_dir = chosen or PLACE
        config = OmegaConf.to_container(job, resolve=True)
        job.run_dir = chosen
        assert isinstance(config, dict)
        for part in ("data", "model", "augmenter", "trainer"):
            if not isinstance(config[part], dict) or "_target_" not in config[part]:
                raise UsageError(f"a run needs {part}; choose one: {part}=...")
        try:
            plain = {str(key): value for key, value in config.items()}
            check_constructors(plain, trusted_only=trusted_only)
        except ValueError as error:
            raise UsageError(str(error)) from error
