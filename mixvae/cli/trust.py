"""What a config may do that may be someone else's: one from a run folder or a config folder.

It names classes that models, data and callbacks are made of, and files inside its run's folder. Not
any function that can be imported, such as one that runs a command, and nothing for Hydra itself,
which would build whatever it is told to.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

# Where classes may come from. Not all of Lightning: its command line builds what it is told to.
TRUSTED = (
    "mixvae.augmenters",
    "mixvae.callbacks",
    "mixvae.data",
    "mixvae.modules",
    "mixvae.networks",
    "mixvae.objectives",
    "mixvae.engine.cuda_graphs",
    "mixvae.engine.csv_logger",
    "mixvae.engine.wandb_logger",
    "torch.nn",
    "torch.optim",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.trainer",
)
# Names that shipped configs use for what is defined elsewhere, or is no class.
NAMED = ("lightning.pytorch.Trainer", "mixvae.callbacks.progress.progress")
# The user's own packages, separated by commas, that such a config may name too.
VARIABLE = "MIXVAE_TRUSTED"
# Arguments that name what is written.
WRITTEN = ("dirpath", "save_dir", "root_dir", "log_dir", "default_root_dir")
RESOLVER = re.compile(r"\$\{[^{}]*:")
# What a sweep may have told Hydra: an option of a launcher, a number, where it lies.
PLAIN = re.compile(
    r"hydra/(launcher|sweeper)=\w+|hydra\.launcher\.[a-z]\w*=[\w-]*|hydra\.sweep\..*"
)
# Of Hydra's own settings, those that do nothing but say where files lie, and are set anew.
HARMLESS = ("overrides", "runtime", "run", "sweep", "output_subdir", "job", "searchpath")


def check_trusted(config: Mapping[str, Any]) -> None:
    """Refuse what a config that may be someone else's may not name.

    Args:
        config: A config as plain values, references resolved.

    Raises:
        ValueError: Naming the key.
    """
    folder = Path(os.path.abspath(str(config.get("run_dir") or ".")))
    for path, node in built_nodes(config):
        _check_target(path, str(node["_target_"]))
        if "_args_" in node:
            raise ValueError(f"{path}._args_: arguments are given by name")
        for key, value in node.items():
            writes = key in WRITTEN or (key == "path" and "logger" in path)
            inside = folder in (Path(os.path.abspath(str(value))), *_parents(value))
            if writes and value is not None and not inside:
                raise ValueError(
                    f"{path}.{key} is {value!r}, outside the run's folder; a config that"
                    " comes from elsewhere may not write there"
                )


def check_references(config: Any, path: str = "") -> None:
    """Refuse references that read more than the config, such as `${oc.env:TOKEN}`.

    Args:
        config: A config as plain values, references not resolved.
        path: Where it stands, for the message.

    Raises:
        ValueError: Naming the key.
    """
    items: Any = []
    if isinstance(config, Mapping):
        items = config.items()
    elif isinstance(config, list):
        items = enumerate(config)
    elif isinstance(config, str) and RESOLVER.search(config):
        raise ValueError(
            f"{path} is {config!r}; a config that comes from elsewhere may refer to its own"
            " keys only"
        )
    for key, item in items:
        check_references(item, f"{path}.{key}" if path else str(key))


def hydra_settings(config_name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what a composition tells Hydra, but for names and places.

    To be called where Hydra is initialised with the folder of the config.

    Args:
        config_name: The composition root.
        overrides: What the command line overrides.
    """
    composed = compose(config_name, overrides=list(overrides), return_hydra_config=True)
    content = OmegaConf.to_container(composed.hydra, resolve=False)
    assert isinstance(content, dict)
    job = content["job"]
    settings = {str(key): value for key, value in content.items() if key not in HARMLESS}
    return settings | {f"job.{key}": job.get(key) for key in ("env_set", "env_copy", "chdir")}


def check_hydra_settings(
    root: Path, given: Mapping[str, Any], overrides: Sequence[str], folder: Path
) -> None:
    """Refuse a composition that tells Hydra what the command line does not.

    Args:
        root: File of the composition root, which alone may say where else configs lie.
        given: What the composition tells Hydra, see `hydra_settings`.
        overrides: What the command line overrides.
        folder: mixvae's own configs.

    Raises:
        ValueError: Naming the setting.
    """
    own = [line for line in overrides if line.lstrip("+~").startswith(("hydra.", "hydra/"))]
    with initialize_config_dir(str(folder), version_base="1.3"):
        expected = hydra_settings("train", own)
    wrong = [key for key in given if given[key] != expected.get(key)]
    if root.is_file() and _has_key(OmegaConf.to_container(OmegaConf.load(root)), "searchpath"):
        wrong.append("searchpath")
    if wrong:
        raise ValueError(
            f"hydra.{wrong[0]} is set by the config; Hydra is told by the command line only, since"
            " it builds what it is told to"
        )


def check_kept_overrides(overrides: Sequence[str]) -> None:
    """Refuse what a sweep's folder tells Hydra, but for plain settings such as numbers of jobs.

    Args:
        overrides: The lines that the folder has kept.

    Raises:
        ValueError: Naming the line.
    """
    for line in overrides:
        if line.lstrip("+~").startswith(("hydra.", "hydra/")) and not PLAIN.fullmatch(line):
            raise ValueError(
                f"the sweep's folder tells Hydra {line}, which may be someone else's; if it is"
                " yours, write the whole command line again beside sweep.resume"
            )


def _has_key(value: Any, key: str) -> bool:
    if isinstance(value, Mapping):
        return key in value or any(_has_key(item, key) for item in value.values())
    return isinstance(value, list) and any(_has_key(item, key) for item in value)


def built_nodes(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every node that names what to build, with its path.

    Args:
        value: A config as plain values.
        path: Where it stands.
    """
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value
        for key, item in value.items():
            yield from built_nodes(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from built_nodes(item, f"{path}[{index}]")


def _check_target(path: str, target: str) -> None:
    if target in NAMED or _lies_in(target, own_packages()):
        return
    refusal = (
        f"{path}._target_ is {target!r}, which a config that comes from elsewhere may not name;"
        f" allowed are classes of {', '.join(TRUSTED)}, and of packages that {VARIABLE} names"
    )
    # Some classes are offered one floor above their file's.
    if not _lies_in(target, (*TRUSTED, "lightning.pytorch")):
        raise ValueError(refusal)
    try:
        found = get_object(target)
    except Exception as error:
        raise ValueError(f"{path}._target_: there is no {target!r}") from error
    if not inspect.isclass(found) or not _lies_in(f"{found.__module__}.", TRUSTED):
        raise ValueError(refusal)


def own_packages() -> tuple[str, ...]:
    """The packages that the user trusts beside ours."""
    names = os.environ.get(VARIABLE, "").split(",")
    return tuple(name.strip() for name in names if name.strip())


def _lies_in(target: str, packages: Sequence[str]) -> bool:
    return target.startswith(tuple(f"{package}." for package in packages))


def _parents(value: Any) -> Sequence[Path]:
    return Path(os.path.abspath(str(value))).parents
