"""Hydra's errors in one line: the word that is wrong, and the nearest right one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from mixvae.cli.command import key_of
from mixvae.cli.errors import first_line
from mixvae.cli.schema import NOT_COMPOSED, RunConfig
from mixvae.suggestions import suggestion

# Arguments of Lightning's Trainer that no shipped config names.
LEFT_TO_LIGHTNING = (
    "benchmark",
    "detect_anomaly",
    "gradient_clip_algorithm",
    "inference_mode",
    "limit_predict_batches",
    "min_steps",
    "overfit_batches",
    "profiler",
    "reload_dataloaders_every_n_epochs",
    "strategy",
    "sync_batchnorm",
    "use_distributed_sampler",
    "val_check_interval",
)
# Launchers that come with a package of their own.
LAUNCHER_PACKAGES = {
    "joblib": "hydra-joblib-launcher",
    "slurm": "hydra-submitit-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
}
ADDED_TWICE = re.compile(r"Multiple values for (\S+)\. To override a value use 'override .*: (.*)'")
NOT_CHOSEN = re.compile(r"Could not override '(\S+)'\. No match in the defaults list")
NOT_THERE = re.compile(r"Could not delete from config\. '(\S+)' does not exist")


def explain(
    error: Exception, overrides: Sequence[str], without: Callable[[list[str]], DictConfig]
) -> str:
    """Explain Hydra's error of composing these overrides; Hydra must be initialised.

    Args:
        error: Hydra's error.
        overrides: The lines that were composed.
        without: Composes the config from other lines.
    """
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_option(error)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return _unknown_key(str(cause.full_key), cause.parent_node, overrides)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {first_line(cause)}"
    text = one_line(error)
    if (added := ADDED_TWICE.match(text)) is not None:
        return f"{added[1]} is chosen without a plus: {added[1]}={added[2]}"
    if (chosen := NOT_CHOSEN.match(text)) is not None:
        line = next(line for line in overrides if key_of(line) == chosen[1])
        return f"{chosen[1]} is added with a plus: +{line}"
    if (missing := NOT_THERE.match(text)) is not None:
        base = without([line for line in overrides if not line.startswith("~")])
        node = OmegaConf.select(base, missing[1].rpartition(".")[0])
        return _unknown_key(missing[1], node, overrides)
    return text


def _missing_option(error: MissingConfigException) -> str:
    """A group's option, or the composition root, that does not exist."""
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    if not group:
        return f"there is no config {option}.yaml in --config-dir or among mixvae's own"
    package = LAUNCHER_PACKAGES.get(option) if group == "hydra/launcher" else None
    if package is not None:
        return f"{group}={option} needs a package: pip install {package}"
    options = error.options or GlobalHydra.instance().config_loader().get_group_options(group)
    return f"{group} has no option {option!r}{suggestion(option, options)}"


def _unknown_key(path: str, node: Any, overrides: Sequence[str]) -> str:
    """A key that the config does not have; `node` holds those beside it."""
    names = [str(name) for name in node] if isinstance(node, DictConfig) else []
    parent, _, name = path.rpartition(".")
    if parent == "trainer" and name in LEFT_TO_LIGHTNING:
        line = next(line for line in overrides if key_of(line).startswith(path))
        return f"{path!r} is not in the config; add it with a plus: +{line}"
    if parent:
        near = suggestion(path, [f"{parent}.{item}" for item in names if item[0] != "_"])
        return f"unknown key {path!r}{near or f'; {parent} has no keys'}"
    for name in names:
        group = node._get_node(name)  # as it stands: interpolations need not resolve yet
        if isinstance(group, DictConfig) and path in group:
            return f"unknown key {path!r}; did you mean '{name}.{path}'?"
    groups = set(GlobalHydra.instance().config_loader().list_groups(""))
    groups -= {"hydra", *NOT_COMPOSED}
    return f"unknown key {path!r}{suggestion(path, [*RunConfig.__dataclass_fields__, *groups])}"


def one_line(error: Exception) -> str:
    """Return Hydra's message without its search path and links."""
    text = str(error).partition("Config search path")[0].partition("See https")[0]
    return " ".join(text.split())
