"""The config as a file: resolved when written, checked again when read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from mixvae.cli.errors import first_line
from mixvae.cli.schema import RunConfig
from mixvae.cli.trust import check_references, check_trusted
from mixvae.files import write_text
from mixvae.suggestions import suggestion

# Stands for a run folder that is not chosen yet.
PLACE = "@run_dir@"
# Top-level keys that hold a plain value: what takes its value from them goes on doing so in a saved
# config, so that `seed=2` beside it means what it means beside the experiment.
PLAIN_KEYS = [key for key, item in RunConfig.__dataclass_fields__.items() if item.type != "Any"]
REFERENCE = re.compile(rf"(?<!\\)\$\{{({'|'.join(PLAIN_KEYS)})\}}")
MARK = re.compile(rf"@({'|'.join(PLAIN_KEYS)})@")
# References that something is computed from: a resolver's arguments, a reference inside another.
COMPUTED = re.compile(r"\$\{[^{}]*(:|\$\{)")

# Classes that moved, by the names that configs of run folders before 0.2 have for them.
MOVED = {
    "mixvae.runtime.csv_logger.CsvLogger": "mixvae.engine.csv_logger.CsvLogger",
    "mixvae.runtime.wandb_logger.WandbRun": "mixvae.engine.wandb_logger.WandbRun",
    "mixvae.runtime.captured.CapturedStrategy": "mixvae.engine.cuda_graphs.CapturedStrategy",
}


def close(cfg: DictConfig) -> DictConfig:
    """Return a composed config typed by `RunConfig`, which `+key=value` bypasses.

    Raises:
        ValueError: If a top-level key is unknown, a value is missing or of a wrong type, or a
            reference leads nowhere.
    """
    try:
        closed = OmegaConf.merge(
            OmegaConf.structured(RunConfig), OmegaConf.to_container(cfg, resolve=False)
        )
        assert isinstance(closed, DictConfig)
        OmegaConf.to_container(closed, resolve=True, throw_on_missing=True)
    except ConfigKeyError as error:
        near = suggestion(str(error.key), RunConfig.__dataclass_fields__)
        raise ValueError(f"unknown key {str(error.key)!r}{near}") from error
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} has no value; give one") from error
    except InterpolationKeyError as error:
        # OmegaConf's message quotes the reference.
        key, other = str(error.full_key), first_line(error).split("'")[1]
        choice = f" or choose another {other.partition('.')[0]}=" if "." in other else ""
        raise ValueError(
            f"{key} takes its value from {other}, which is not there; give it one{choice}"
        ) from error
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise ValueError(f"{where}{first_line(error)}") from error
    return closed


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return a closed config as plain values, references resolved."""
    content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def save_config(cfg: DictConfig, path: Path) -> None:
    """Write a closed config resolved, except for references to plain top-level keys.

    Among them is `run_dir`: a run folder may be moved.
    """
    marked = _replace(OmegaConf.to_container(cfg, resolve=False), _marked) | {"run_dir": PLACE}
    content = OmegaConf.to_container(OmegaConf.create(marked), resolve=True)
    plain = _replace(content, lambda text: MARK.sub(r"${\1}", text))
    plain |= {"run_dir": None, "resume": None}
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    write_text(path, "# The resolved config of this run; see docs/training.md.\n" + text)


def load_config(path: Path) -> DictConfig:
    """Read the config.yaml of a run folder; classes that moved since then are renamed.

    `run_dir` becomes the folder of the file.
    """
    try:
        content = OmegaConf.load(path)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a readable config: {first_line(error)}") from error
    if not isinstance(content, DictConfig):
        raise ValueError(f"{path} is not a config of a run: it holds no keys")
    plain = OmegaConf.to_container(content, resolve=False)
    assert isinstance(plain, dict)
    plain = _replace(plain, lambda text: MOVED.get(text, text)) | {
        "run_dir": str(path.parent.absolute())
    }
    try:
        check_references(plain)
        return close(OmegaConf.create(plain))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_trusted(path: Path) -> DictConfig:
    """Read the config of a run folder to build it; see `cli.trust` for what it may name."""
    cfg = load_config(path)
    try:
        check_trusted(resolved(cfg), path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return cfg


def is_saved(path: Path) -> bool:
    """Whether a composition root is the config of a run, and not a root of the user's own.

    A run's config has no defaults list; files beside it tell a run's folder from a config folder.
    """
    if any((path.parent / name).exists() for name in ("summary.json", "provenance.json")):
        return True
    if not path.is_file():
        return False
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return True
    return not isinstance(content, dict) or "defaults" not in content


def _marked(text: str) -> str:
    """Replace references to plain keys by marks, so that they are not resolved."""
    return text if COMPUTED.search(text) else REFERENCE.sub(r"@\1@", text)


def _replace(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain values with `change` applied to every text."""
    if isinstance(value, dict):
        return {key: _replace(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
