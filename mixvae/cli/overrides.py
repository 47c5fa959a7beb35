"""Checks what a command line overrides: names of groups, options and keys, before anything else.

Fast on purpose: no PyTorch is imported here, so a misspelt key is told in about a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mixvae.cli.composition import compose_choices, set_values
from mixvae.cli.config_file import close
from mixvae.cli.errors import UsageError, told
from mixvae.cli.groups import Groups
from mixvae.cli.launchers import wrong_launcher
from mixvae.cli.schema import RunConfig, conf_dir
from mixvae.cli.trust import check_hydra_settings, check_references, hydra_settings
from mixvae.suggestions import suggestion

# Arguments of Lightning's Trainer that no config of ours names.
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
# What a trainer says of where the work is done; on a GPU not all sums have a fixed order.
MACHINE = ("accelerator", "devices", "strategy", "deterministic")


def check_command_line(
    overrides: Sequence[str],
    *,
    multirun: bool = False,
    config_name: str = "train",
    extra_folder: Path | None = None,
    trusted_only: bool = False,
) -> list[DictConfig]:
    """Compose the config of every job; nothing is created.

    Args:
        overrides: What the command line overrides.
        multirun: Whether several values mean several jobs.
        config_name: The composition root.
        extra_folder: A further config folder of the user's.
        trusted_only: Refuse what a config that may be someone else's may not tell Hydra.

    Returns:
        The closed config of each job.

    Raises:
        UsageError: Naming the first thing that is wrong, and the nearest that would be right.
    """
    if extra_folder is not None and not extra_folder.is_dir():
        raise UsageError(f"--config-dir {extra_folder} is no folder")
    folders = [conf_dir(), *([extra_folder] if extra_folder else [])]
    groups = Groups.of(folders)
    # The composition root must lie in the first folder; the second is searched after it.
    folders.sort(key=lambda folder: not (folder / f"{config_name}.yaml").is_file())
    places = [quoted(f"file://{folder.absolute()}") for folder in folders[1:]]
    search = [f"hydra.searchpath=[{place}]" for place in places]
    with initialize_config_dir(str(folders[0].absolute()), version_base="1.3"):
        parsed = _parse(overrides)
        for override in parsed:
            _check_name(override, groups)
        jobs = _expand(parsed, overrides, multirun=multirun)
        # Only our own configs are sure not to change while this process runs.
        own = len(folders) == 1
        checked, settings = [], []
        for job in jobs:
            choices, values = _parted(_parse(job), groups)
            base = compose_choices(config_name, (*search, *choices), keep=own)
            content = OmegaConf.to_container(base, resolve=False)
            for override in values:
                _check_key(override, content)
            config = set_values(base, values)
            try:
                if trusted_only:
                    check_references(OmegaConf.to_container(config, resolve=False))
                    settings.append(hydra_settings(config_name, [*search, *job]))
                checked.append(close(config))
            except UsageError:
                raise
            except ValueError as error:
                raise UsageError(str(error)) from error
    for given, job in zip(settings, jobs, strict=False):
        root = folders[0] / f"{config_name}.yaml"
        check_hydra_settings(root, given, job, conf_dir())
    return checked


def apply_overrides(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Change the config of an earlier run, with the same checks as a new command line.

    Of another trainer the machine is taken.

    Args:
        cfg: A closed config.
        overrides: Choices of groups, and keys that the config has.

    Returns:
        The changed config.

    Raises:
        UsageError: Naming the first thing that is wrong.
    """
    changed, groups = cfg.copy(), Groups.of([conf_dir()])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        parsed = _parse(overrides)
        _expand(parsed, overrides, multirun=False)
        for override in parsed:
            _check_name(override, groups)
        chosen = [item for item in parsed if item.key_or_group in groups.options]
        for override in chosen:
            group = override.key_or_group
            option = compose_choices("train", (str(override.input_line),)).get(group)
            if group == "trainer" and option is not None and "trainer" in changed:
                # What the run was trained with stays: it may say what is tested, and how.
                changed.trainer.pop("strategy", None)
                machine = {key: option[key] for key in MACHINE if key in option}
                option = OmegaConf.merge(changed.trainer, machine)
            changed[group] = option
    for override in parsed:
        if override not in chosen:
            _check_key(override, OmegaConf.to_container(changed, resolve=False))
            if override.is_delete():
                raise UsageError(f"{override.input_line}: nothing can be left out here")
            OmegaConf.update(changed, override.key_or_group, override.value(), force_add=True)
    if changed.data_root != cfg.data_root and "root" in changed.data:
        changed.data.root = changed.data_root
    return changed


def quoted(text: str) -> str:
    """Return a text as a value on the command line, whatever is in it.

    Args:
        text: Any text.
    """
    return QuotedString(text, Quote.single).with_quotes()


def unquoted(text: str) -> str:
    """Return a value that Hydra does not see without the quotes that it would take away.

    Args:
        text: What stands behind the `=`.
    """
    mark = text[:1]
    if mark not in ("'", '"') or len(text) < 2 or not text.endswith(mark):
        return text
    return text[1:-1].replace(f"\\{mark}", mark)


def value_of(line: str) -> str:
    """Return the value of an override that was parsed before, without its quotes.

    Args:
        line: `key=value`.
    """
    return str(OverridesParser.create().parse_override(line).value())


def _parse(overrides: Sequence[str]) -> list[Override]:
    for line in overrides:
        if "=" not in line and not line.startswith("~"):
            raise UsageError(f"{line!r} is not understood; write key=value")
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed = []
    for line in overrides:
        try:
            parsed += parser.parse_overrides([line])
        except HydraException as error:
            key, _, value = line.partition("=")
            quoted = value.startswith(("'", '"'))
            hint = "" if quoted else f"; a text may need quotes: \"{key}='...'\""
            raise UsageError(f"{line} cannot be read: {told(error)}{hint}") from error
    return parsed


def _expand(
    parsed: Sequence[Override], overrides: Sequence[str], *, multirun: bool
) -> list[list[str]]:
    """Return the overrides of each job."""
    sweeps = [override for override in parsed if override.is_sweep_override()]
    if not multirun:
        if sweeps:
            raise UsageError(
                f"{sweeps[0].input_line} names several values; add -m to run a job for each"
            )
        return [list(overrides)]
    ranges = [override for override in sweeps if not override.is_discrete_sweep()]
    if ranges:
        raise UsageError(f"{ranges[0].input_line} is no list of values; write key=a,b,c")
    return BasicSweeper.split_arguments(list(parsed), None)[0]


def _parted(
    overrides: Sequence[Override], groups: Groups
) -> tuple[tuple[str, ...], list[Override]]:
    """Part the lines that choose options, or speak to Hydra itself, from those that set values."""
    choices, values = [], []
    for override in overrides:
        key = override.key_or_group
        if key in groups.options or key.startswith(("hydra.", "hydra/")):
            choices.append(override.input_line or "")
        else:
            values.append(override)
    return tuple(choices), values


def _check_name(override: Override, groups: Groups) -> None:
    """Refuse an unknown group, option or top-level key."""
    key = override.key_or_group
    if key == "hydra/launcher":
        wrong = wrong_launcher(str(override.value()), groups.options.get(key, []))
        if wrong:
            raise UsageError(wrong)
    if key.startswith(("hydra.", "hydra/")):
        _check_place(override)
        return
    if key in groups.options:
        groups.check(override)
        return
    root = key.replace("[", ".").split(".")[0].split("/")[0]
    fields = list(RunConfig.__dataclass_fields__)
    if root not in fields or "/" in key:
        wrong = key if "/" in key else root
        raise UsageError(f"unknown key {key!r}{suggestion(wrong, [*fields, *groups.options])}")


def _check_place(override: Override) -> None:
    """Refuse to have configs or jobs lie where they are not looked for."""
    key, line = override.key_or_group, override.input_line
    if key == "hydra.searchpath":
        raise UsageError(f"{line}: name a folder of further configs by --config-dir FOLDER")
    if key == "hydra.sweep.subdir":
        name = str(override.value())
        if "/" in name or "${" not in name:
            raise UsageError(
                f"{line}: jobs lie side by side in the sweep's folder, each under its own name;"
                " write one without '/' such as 'hydra.sweep.subdir=${hydra.job.num}_${seed}'"
            )


def _check_key(override: Override, base: Any) -> None:
    """Refuse a key that the composed config does not have, unless it is added with a plus."""
    adding = override.is_add() or override.is_force_add()
    parts = override.key_or_group.replace("[", ".").replace("]", "").split(".")
    node = base
    for depth, part in enumerate(parts):
        path = ".".join(parts[: depth + 1])
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        elif adding and depth > 0:
            # Whether the constructor takes it is checked where constructors are looked at.
            return
        elif isinstance(node, dict):
            if parts[0] == "trainer" and part in LEFT_TO_LIGHTNING:
                raise UsageError(
                    f"{path!r} is left to its default by the config, so it is added with a plus:"
                    f" +{override.input_line}"
                )
            siblings = [".".join([*parts[:depth], name]) for name in node if name[0] != "_"]
            near = suggestion(path, siblings)
            raise UsageError(f"unknown key {path!r}{near}")
        else:
            parent = ".".join(parts[:depth])
            raise UsageError(f"unknown key {path!r}; {parent} is {node!r}, which has no keys")
