"""Configs as the command line composes them."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from mixvae.cli.command import Command
from mixvae.cli.compose import compose_jobs


def composed(overrides: Sequence[str]) -> DictConfig:
    """The closed and checked config of a command line."""
    return compose_jobs(Command(list(overrides)))[0].cfg
