"""Settings of runs, from the configs in their folders: rows of a table must not mix them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixvae import __version__
from mixvae.cli.command import Command
from mixvae.cli.compose import compose_jobs
from mixvae.cli.config_file import load_config
from mixvae.cli.constructors import REPLACED
from mixvae.runs.folder import RunFolder

# Parts of a config that affect results, and keys in them that do not or are the seed.
PARTS = ("data", "model", "augmenter", "trainer", "test_checkpoint")
ASIDE = ("data.seed", "data.root", "trainer.enable_progress_bar", "trainer.default_root_dir")


def differing(folders: Sequence[Path]) -> list[str]:
    """Name the settings that differ between runs.

    Args:
        folders: Run folders. A key missing in some configs came with a later version and
            is ignored.

    Returns:
        Their keys, such as `model.optimizer.lr`.
    """
    files = [RunFolder(folder).config for folder in folders]
    found = [_settings(load_config(file)) for file in files if file.is_file()]
    common = [key for key in (found[0] if found else {}) if all(key in one for one in found)]
    return [key for key in common if any(one[key] != found[0][key] for one in found)]


def changed_since(folder: Path, job: Sequence[str]) -> list[str]:
    """Name the settings of a run that the same overrides set differently today.

    Args:
        folder: Its folder; without a config nothing counts as changed.
        job: The overrides of the run.

    Returns:
        Their keys, with the old and the new value. A key that only one of the two
        has came with another version, and is ignored; so is a value that each run replaces
        by its own choice, such as `trainer.precision=auto`.
    """
    if not RunFolder(folder).config.is_file():
        return []
    then = _settings(load_config(RunFolder(folder).config))
    now = _settings(compose_jobs(Command(list(job)))[0].cfg)
    changed = [
        key
        for key in then
        if key in now and then[key] != now[key] and (key, str(now[key])) not in REPLACED
    ]
    return [f"{key} was {then[key]} and is {now[key]}" for key in changed]


def check_version(folder: Path) -> None:
    """Refuse a run of another version of mixvae: a table mixes none.

    Args:
        folder: Its folder; without a provenance nothing is known, and it passes.
    """
    version = RunFolder(folder).read_provenance().get("mixvae", __version__)
    if version != __version__:
        raise ValueError(
            f"{folder} was made by mixvae {version}, and this is {__version__}: a table holds runs"
            " of one version. Name another folder with --runs, or remove that one"
        )


def encoder_of(folder: Path) -> str:
    """Widths of a mixture model's encoder, and its kind unless it is a plain MLP."""
    path = RunFolder(folder).config
    if not path.is_file():
        return ""
    config = load_config(path)
    encoder = OmegaConf.select(config, "model.agents.encoder")
    if encoder is None:
        return ""
    encoder = encoder.get("trunk", encoder)
    widths = "-".join(map(str, encoder.get("hidden") or encoder.get("channels") or ()))
    kind = str(encoder.get("_target_", "")).rpartition(".")[2].removesuffix("Encoder").lower()
    return " ".join(part for part in ("" if kind == "mlp" else kind, widths) if part)


def _settings(config: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    flat = dict(_flattened({part: content.get(part) for part in PARTS}, ""))
    return {key: value for key, value in flat.items() if key not in ASIDE}


def _flattened(content: Any, prefix: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(content, dict):
        yield prefix, content
        return
    for key, value in content.items():
        yield from _flattened(value, f"{prefix}.{key}" if prefix else str(key))
