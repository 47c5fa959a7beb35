"""Turns objects given from Python into overrides that name them."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from mixvae.cli.overrides import quoted
from mixvae.data.files.given import is_given, name_of


def given_lines(cfg: DictConfig, data: Any, labels: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the overrides that give data to a run, and the objects by their names in them.

    Args:
        cfg: The run's config, whose data module says what it takes.
        data: An object in memory, or the path of a file.
    """
    target = str(cfg.data.get("_target_", ""))
    take = getattr(get_object(target), "take", None)
    if take is None:
        raise ValueError(f"the data module {target} takes no data from Python")
    objects: dict[str, Any] = {}
    lines: list[str] = []
    settings = _settings(take, data, labels)
    # Labels of other data that a run was given do not belong to these.
    lines += [
        f"data.{key}=null"
        for key, value in cfg.data.items()
        if is_given(value) and key not in settings
    ]
    for key, value in settings.items():
        if isinstance(value, Mapping):
            entries = [f"{name}:{_named(item, objects)}" for name, item in value.items()]
            lines.append(f"data.{key}={{{','.join(entries)}}}")
        elif isinstance(value, list):
            lines.append(f"data.{key}=[{','.join(_named(item, objects) for item in value)}]")
        else:
            lines.append(f"data.{key}={_named(value, objects)}")
    return lines, objects


def names_in(cfg: DictConfig) -> set[str]:
    """Names of the objects that a config's data are made of."""
    found, waiting = set(), [OmegaConf.to_container(cfg.data, resolve=True)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif is_given(value):
            found.add(str(value))
    return found


def _settings(take: Any, data: Any, labels: Any) -> dict[str, Any]:
    if isinstance(data, str | PathLike):
        path = Path(data).expanduser().absolute()
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        data = str(path)
    elif isinstance(data, list | tuple) and all(isinstance(one, str | PathLike) for one in data):
        data = [str(Path(one).expanduser().absolute()) for one in data]
    settings: dict[str, Any] = take(data, labels)
    return settings


def _named(value: Any, objects: dict[str, Any]) -> str:
    """Return the text of a setting: a word as it is, an object by its name."""
    if isinstance(value, str):
        return quoted(value)
    name = name_of(value)
    objects[name] = value
    return quoted(name)
