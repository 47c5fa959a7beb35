"""Train a model: `python -m mixvae.train [+experiment=NAME] [key=value ...]`; see --help."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from mixvae.cli.errors import run_guarded
from mixvae.cli.schema import conf_dir, register
from mixvae.sweeps.launching import launch_training

register()


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")
def job(cfg: DictConfig) -> float | None:
    """Run one job: the whole command, or one of a sweep; return the metric `objective`."""
    # Here, so that a wrong command line is refused before PyTorch is imported.
    from mixvae.sweeps.jobs import run_job

    return run_job(cfg)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: The command line without the program's name; None takes the process's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: launch_training(given, job), given)


if __name__ == "__main__":
    sys.exit(main())
