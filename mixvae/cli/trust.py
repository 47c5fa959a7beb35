"""Which code and files a run's config may name, as it may be someone else's.

A config from a run folder names classes that models, data and callbacks are made of, and files
inside of its folder; no function such as `os.system`, and no file elsewhere. Whatever the user
typed, or composed from a config folder of their own, is accepted: the run folder lists it, signed
with a key of the user's on this machine, so that `resume=` and `mixvae.evaluate` accept it too.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_object

from mixvae.cli.command import is_hydras
from mixvae.files import write_json

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
# Packages of the user, separated by commas, that any config may name.
VARIABLE = "MIXVAE_TRUSTED"
# Arguments that name a file or folder to write.
WRITTEN = ("dirpath", "save_dir", "root_dir", "log_dir", "default_root_dir")
RESOLVER = re.compile(r"\$\{[^{}]*:")
# Lines about Hydra that a sweep folder may hold: a launcher, plain settings of it, its layout.
PLAIN = re.compile(
    r"hydra/(launcher|sweeper)=\w+|hydra\.launcher\.[a-z]\w*=[\w-]*|hydra\.sweep\..*"
)
# The record of what is accepted, in a run's or sweep's folder.
RECORD = ".accepted.json"


class Doubt(NamedTuple):
    """Part of a config that is refused unless the user is known to have written it."""

    part: str  # `key=value`, as the record lists it
    message: str


def check_trusted(config: Mapping[str, Any], folder: Path | None = None) -> None:
    """Refuse a config that names code or files that only its user may name.

    Args:
        config: A config as plain values, references resolved.
        folder: Its folder, which may hold a record of what is accepted.

    Raises:
        ValueError: Naming the key.
    """
    _refuse(_doubts(config), folder)


def check_kept_lines(lines: Sequence[str], folder: Path) -> None:
    """Refuse the lines about configs or Hydra that a sweep's folder has kept, except plain ones."""
    _refuse(_line_doubts(lines), folder)


def _refuse(doubts: Iterable[Doubt], folder: Path | None) -> None:
    """Refuse the first doubt that the record of the folder does not list."""
    found = list(doubts)
    accepted = _accepted(folder) if found else set()
    for doubt in found:
        if doubt.part not in accepted:
            raise ValueError(doubt.message)


def accept(folder: Path, configs: Sequence[Mapping[str, Any]], lines: Sequence[str] = ()) -> None:
    """Record in a folder that its user wrote these configs and a sweep's command line."""
    doubts = [*_line_doubts(lines), *(doubt for config in configs for doubt in _doubts(config))]
    parts = sorted({doubt.part for doubt in doubts})
    key = _key() if parts else None
    if key is not None:
        write_json(folder / RECORD, {"accepted": parts, "signature": _sign(parts, key)})


def _accepted(folder: Path | None) -> set[str]:
    """Parts that the record of a folder lists, if this user's key has signed it."""
    key = None if folder is None else _key()
    if folder is None or key is None:
        return set()
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        parts, signature = list(record["accepted"]), str(record["signature"])
    except (OSError, ValueError, TypeError, KeyError):
        return set()
    return set(parts) if hmac.compare_digest(signature, _sign(parts, key)) else set()


def _sign(parts: Sequence[str], key: bytes) -> str:
    return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def _key() -> bytes | None:
    """The user's key on this machine, made at first; None where it cannot be kept."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    file = Path(state) / "mixvae" / "key"
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            # Readable by the user only; of two processes that make it, one does.
            with open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as new:
                new.write(secrets.token_bytes(32))
        key = file.read_bytes()
    except FileExistsError:
        key = file.read_bytes()
    except OSError:
        return None
    return key if len(key) >= 32 else None


def check_references(config: Any, path: str = "") -> None:
    """Refuse references that read more than the config, such as `${oc.env:TOKEN}`.

    Args:
        config: Plain values, references not resolved.
        path: Their key, for the message.

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
            f"{path} is {config!r}; the config of a run folder may refer to its own keys only"
        )
    for key, item in items:
        check_references(item, f"{path}.{key}" if path else str(key))


def built_nodes(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every node of plain values that names what to build, with its path."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value
        for key, item in value.items():
            yield from built_nodes(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from built_nodes(item, f"{path}[{index}]")


def _doubts(config: Mapping[str, Any]) -> Iterator[Doubt]:
    """Yield each class that no list of ours names, and each file outside of the run's folder."""
    folder = Path(os.path.abspath(str(config.get("run_dir") or ".")))
    for path, node in built_nodes(config):
        target = str(node["_target_"])
        if (refusal := _refusal(target)) is not None:
            yield Doubt(f"{path}._target_={target}", f"{path}._target_ is {target!r}{refusal}")
        if "_args_" in node:
            yield Doubt(
                f"{path}._args_={node['_args_']}", f"{path}._args_: arguments are given by name"
            )
        for key, value in node.items():
            writes = key in WRITTEN or (key == "path" and "logger" in path)
            place = Path(os.path.abspath(str(value)))
            if writes and value is not None and folder not in (place, *place.parents):
                yield Doubt(
                    f"{path}.{key}={value}",
                    f"{path}.{key} is {value!r}, outside of the run's folder; the config of a run"
                    " folder may not write there",
                )


def _line_doubts(lines: Sequence[str]) -> Iterator[Doubt]:
    for line in lines:
        if line.startswith("-") or (is_hydras(line) and not PLAIN.fullmatch(line)):
            yield Doubt(
                line,
                f"the sweep's folder has kept {line}, which may be someone else's; if it is yours,"
                " write the whole command line again beside sweep.resume",
            )


def _refusal(target: str) -> str | None:
    """Why a target is refused, after its name; None if it is not."""
    names = os.environ.get(VARIABLE, "").split(",")
    own = [name.strip() for name in names if name.strip()]
    if target in NAMED or _lies_in(target, own):
        return None
    advice = (
        ", which the config of a run folder may not name; allowed are classes of"
        f" {', '.join(TRUSTED)}, and of packages that {VARIABLE} names"
    )
    # Some classes are offered one floor above their file's.
    if not _lies_in(target, (*TRUSTED, "lightning.pytorch")):
        return advice
    try:
        found = get_object(target)
    except Exception:
        return ", which does not exist"
    trusted = inspect.isclass(found) and _lies_in(f"{found.__module__}.", TRUSTED)
    return None if trusted else advice


def _lies_in(target: str, packages: Sequence[str]) -> bool:
    return target.startswith(tuple(f"{package}." for package in packages))
