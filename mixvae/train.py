"""Train a model: `python -m mixvae.train [+experiment=NAME] [key=value ...]`; see --help.

In Python: `run = mixvae.train("images_cpl", "seed=1", data=images)`; see docs/python.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

from mixvae.cli.command import Command, parse
from mixvae.cli.compose import compose_jobs, config_text
from mixvae.cli.errors import UsageError, run_as_process, run_guarded
from mixvae.cli.help_text import train_help
from mixvae.starting import quick_imports, unnoticed_imports


def launch(command: Command) -> None:
    """Compose, check, and run one job or several; a command line is refused before that."""
    if command.show is not None:
        print(config_text(command), end="")
    elif command.multirun:
        from mixvae.sweeps.multirun import run_multirun

        run_multirun(command)
    elif command.values("sweep.resume"):
        raise UsageError("sweep.resume continues a sweep; add -m")
    else:
        with quick_imports():
            # The check of a command line imports the parts that it names, and PyTorch with them.
            (job,) = compose_jobs(command)
            from mixvae.runs.jobs import run_job
        run_job(job.cfg, job.overrides, command.flags)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (None: the process's own) and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_guarded(lambda: launch(parse(given)), given, train_help)


command = partial(run_as_process, main)


class _Callable(ModuleType):
    """This module, which is also the function `mixvae.train`: Python gives both one name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Train a run: `mixvae.train("images_cpl", "seed=1", data=images)`; docs/python.md."""
        with unnoticed_imports():
            from mixvae.api.training import train

        return train(*arguments, **options)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    command()
