"""Composes a config: what was chosen of the groups, then the values that are set."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache

from hydra import compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mixvae.cli.errors import UsageError, told


def compose_choices(
    config_name: str, choices: tuple[str, ...], *, keep: bool = False
) -> DictConfig:
    """Compose the options chosen; to be called where Hydra is initialised.

    Args:
        config_name: The composition root.
        choices: The lines that choose an option of a group, or speak to Hydra itself.
        keep: Whether to keep it, since jobs of a sweep and trials of a search choose alike. Their
            files must not change meanwhile.

    Returns:
        The config, not to be changed.

    Raises:
        UsageError: If it cannot be composed.
    """
    return (_compose_once if keep else _compose)(config_name, choices)


def set_values(base: DictConfig, values: Sequence[Override]) -> DictConfig:
    """Return a copy of a composed config with values set, as Hydra itself would go on to do.

    Args:
        base: The composed config.
        values: Overrides that set, add or delete a value.

    Raises:
        UsageError: If one cannot be set.
    """
    config = deepcopy(base)
    try:
        ConfigLoaderImpl._apply_overrides_to_config(list(values), config)
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(told(error)) from error
    return config


def _compose(config_name: str, choices: tuple[str, ...]) -> DictConfig:
    try:
        return compose(config_name, overrides=list(choices))
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(told(error)) from error
    except YAMLError as error:
        raise UsageError(f"{config_name}.yaml or what it names: {told(error)}") from error


_compose_once = lru_cache(_compose)
