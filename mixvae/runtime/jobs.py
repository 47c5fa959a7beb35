"""One job as Hydra starts it: alone, or as part of a sweep."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mixvae.runtime.command_line import JobError, JobsFailedError, message_of
from mixvae.runtime.training import train


def run_job(cfg: DictConfig) -> float | None:
    """Train; in a sweep, tell a failure and let the other jobs go on.

    Args:
        cfg: The config that Hydra composed.

    Returns:
        The metric `objective` of the config.

    Raises:
        JobError: If a single job failed.
        JobsFailedError: If the job failed and is part of a sweep.
    """
    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    if hydra.mode != RunMode.MULTIRUN:
        try:
            return train(cfg, overrides)
        except Exception as error:
            raise JobError(error) from error
    print(f"job {hydra.job.num}: {' '.join(overrides)}", flush=True)
    try:
        return train(cfg, overrides, Path(hydra.runtime.output_dir))
    except Exception as error:
        print(f"error in job {hydra.job.num}: {message_of(error)}", file=sys.stderr, flush=True)
        raise JobsFailedError(f"job {hydra.job.num} of the sweep failed") from error
