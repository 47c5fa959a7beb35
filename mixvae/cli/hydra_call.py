"""How Hydra is called: with our command line as it wants it, and so that errors come to us."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# Tells the jobs of a sweep what the user said by HYDRA_FULL_ERROR, which is set for our own ends.
ASKED_FOR_TRACEBACKS = "MIXVAE_FULL_ERROR"
# What conf/train.yaml says to Hydra, for a config that does not, such as one from a run folder.
OWN_FOLDERS = (
    "hydra.output_subdir=null",
    "hydra.run.dir=.",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)


def flags_of(arguments: Sequence[str], args: Namespace) -> list[str]:
    """Return the command line without the overrides, which Hydra wants to come last.

    Args:
        arguments: The command line.
        args: What Hydra's parser made of it.
    """
    left = list(arguments)
    for line in args.overrides:
        left.remove(line)
    return left


@contextmanager
def as_hydra_sees_it(arguments: Sequence[str]) -> Iterator[None]:
    """Hand Hydra the command line, and have it leave exceptions to us.

    Args:
        arguments: The command line without the program's name.
    """
    argv, environment = sys.argv, dict(os.environ)
    sys.argv = ["mixvae.train", *arguments]
    if environment.get("HYDRA_FULL_ERROR") == "1":
        os.environ[ASKED_FOR_TRACEBACKS] = "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        for name in (ASKED_FOR_TRACEBACKS, "HYDRA_FULL_ERROR"):
            if name in environment:
                os.environ[name] = environment[name]
            else:
                os.environ.pop(name, None)
