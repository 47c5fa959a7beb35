"""Composes the config of every job by Hydra and checks it; nothing is created.

Names are checked before PyTorch is imported, so that a misspelt key is refused in about a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mixvae.cli.command import Command, is_hydras, key_of
from mixvae.cli.config_file import PLACE, close, is_saved, load_trusted, resolved
from mixvae.cli.errors import UsageError
from mixvae.cli.explain import explain, one_line
from mixvae.cli.overrides import expand, is_group, parse_overrides, quoted
from mixvae.cli.schema import conf_dir, register
from mixvae.cli.trust import check_references, check_trusted

# Under this name Hydra knows the config of a run folder, whose files it never reads itself.
SAVED = "saved_run"
# Settings of a trainer that name the machine; on a GPU not all sums have a fixed order.
MACHINE = ("accelerator", "devices", "strategy", "deterministic")
# May be given beside `resume=`; anything else would make another run of it.
BESIDE_RESUME = ("resume", "trainer.max_epochs", "traceback")


class Job(NamedTuple):
    """One job: its closed and checked config, and the overrides that it was composed from."""

    cfg: DictConfig
    overrides: list[str]


class Root(NamedTuple):
    """Name of a composition root, and the overrides that tell Hydra where else to look."""

    name: str
    search: list[str]


def compose_jobs(command: Command, kept_in: Path | None = None) -> list[Job]:
    """Compose and check the config of every job: one, or several under `multirun`.

    Args:
        command: The command line.
        kept_in: The sweep's folder that the command comes from; None: the user typed it.

    Raises:
        UsageError: Naming the first wrong key or value, and the nearest right one.
    """
    with composing(command) as root:
        parsed = parse_overrides(command.overrides)
        allowed = command.multirun or command.show is not None
        for override in parsed:
            _check_hydra_key(override.key_or_group, override.input_line or "", allowed)
        _check_resume(command)
        jobs = [
            Job(_compose(root, lines), [line for line in lines if not is_hydras(line)])
            for lines in expand(parsed, multirun=command.multirun)
        ]
    for job in jobs:
        leave_networks_out(job.cfg, job.overrides)
        _check_values(job.cfg, multirun=command.multirun, kept_in=kept_in)
    return jobs


def change(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Change the config of an earlier run, with the same checks as a new command line.

    Of another trainer only the machine is taken.
    """
    changed = cfg.copy()
    with composing(Command()) as root:
        parsed = parse_overrides(overrides)
        expand(parsed, multirun=False)
        lines = []
        for override in parsed:
            group, line = override.key_or_group, override.input_line or ""
            if override.is_delete():
                raise UsageError(f"{line}: nothing can be left out here")
            if not is_group(override):
                # A saved config has the key that a first run would add.
                lines.append(f"+{line}" if override.is_add() else line)
                continue
            option = _compose(root, [line])[group]
            if group == "trainer" and "trainer" in changed:
                # The run's own settings stay: they may decide what is tested, and how.
                changed.trainer.pop("strategy", None)
                machine = {key: option[key] for key in MACHINE if key in option}
                option = OmegaConf.merge(changed.trainer, machine)
            changed[group] = option
        changed = _compose(Root(_store(changed), []), lines)
    if changed.data_root != cfg.data_root and "root" in changed.data:
        changed.data.root = changed.data_root
    return changed


@contextmanager
def composing(command: Command) -> Iterator[Root]:
    """Initialise Hydra for the config folders of a command."""
    register()
    folders, name = [conf_dir()], command.config_name or "train"
    if command.config_dir is not None:
        own = Path(command.config_dir)
        file = own / f"{name}.yaml"
        if is_saved(file):
            if not file.is_file():
                raise UsageError(
                    f"--config-dir {own} is a run's folder; its run is repeated by"
                    f" --config-dir {own} --config-name config"
                )
            # The folder may be someone else's: Hydra reads no file of it.
            try:
                cfg = load_trusted(file)
            except (OSError, ValueError) as error:
                raise UsageError(str(error)) from error
            cfg.run_dir = None
            name = _store(cfg)
        else:
            folders.insert(0 if file.is_file() else 1, own)
    # The root must lie in the first folder; Hydra searches the others after it.
    places = [quoted(f"file://{folder.absolute()}") for folder in folders[1:]]
    with initialize_config_dir(str(folders[0].absolute()), version_base="1.3"):
        yield Root(name, [f"hydra.searchpath=[{place}]" for place in places])


def _store(cfg: DictConfig) -> str:
    """Make a config known to Hydra as a composition root."""
    node = OmegaConf.to_container(cfg, resolve=False)
    ConfigStore.instance().store(name=SAVED, node=node, provider="mixvae")
    return SAVED


def _check_hydra_key(key: str, line: str, multirun: bool) -> None:
    """Refuse settings of Hydra's that would have no effect, or break a sweep's layout."""
    if not is_hydras(line):
        return
    if key in ("hydra.run.dir", "hydra.output_subdir"):
        raise UsageError(f"{line}: a run's folder is named by run_dir=FOLDER")
    if key == "hydra.searchpath":
        raise UsageError(f"{line}: name a folder of further configs by --config-dir FOLDER")
    if not multirun:
        raise UsageError(f"{line}: Hydra's own settings are for sweeps; add -m, or leave it out")
    if key == "hydra.sweep.subdir":
        name = line.partition("=")[2]
        if "/" in name or "${" not in name:
            raise UsageError(
                f"{line}: jobs lie side by side in the sweep's folder, each under its own name;"
                " write one without '/' such as 'hydra.sweep.subdir=${hydra.job.num}_${seed}'"
            )


def _compose(root: Root, overrides: Sequence[str]) -> DictConfig:
    """Compose and close one job's config; the one place that translates Hydra's errors."""

    def composed(lines: list[str]) -> DictConfig:
        return compose(root.name, overrides=[*root.search, *lines])

    try:
        return close(composed(list(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(explain(error, overrides, composed)) from error
    except YAMLError as error:
        raise UsageError(f"{root.name}.yaml or a file that it names: {one_line(error)}") from error
    except ValueError as error:
        raise UsageError(str(error)) from error


def _check_resume(command: Command) -> None:
    """Refuse whatever would make another run of the one to resume."""
    said = [text for text in command.values("resume") if text != "null"]
    if not said:
        return
    if not said[-1]:
        raise UsageError("resume needs the folder of a run: resume=runs/...")
    if command.multirun:
        raise UsageError("resume= continues one run; leave out -m")
    for line in command.overrides:
        if key_of(line) not in BESIDE_RESUME:
            raise UsageError(
                f"resume= continues a run as it was begun, so {key_of(line)} cannot be changed;"
                f" only {', '.join(BESIDE_RESUME[1:])} may be given beside it"
            )


def _check_values(cfg: DictConfig, *, multirun: bool, kept_in: Path | None) -> None:
    """Check a config against the constructors that it names, which are imported."""
    # Here, so that a wrong name is refused before PyTorch is imported.
    from mixvae.cli.constructors import check_constructors

    if multirun and cfg.run_dir is not None:
        raise UsageError(
            f"run_dir={cfg.run_dir} is the folder of one run, but -m makes one for each job;"
            " name the sweep's folder instead: hydra.sweep.dir=..."
        )
    config = plain_config(cfg)
    for part in ("data", "model", "augmenter", "trainer"):
        if not isinstance(config[part], dict) or "_target_" not in config[part]:
            raise UsageError(f"a run needs {part}; choose one: {part}=...")
    try:
        if kept_in is not None:
            check_references(OmegaConf.to_container(cfg, resolve=False))
            check_trusted(config, kept_in)
        check_constructors(config)
    except ValueError as error:
        raise UsageError(str(error)) from error


def leave_networks_out(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Drop the default networks where the model builds its own; asked for, they are an error."""
    from mixvae.cli.constructors import takes

    model, asked = cfg.model, {key_of(line) for line in overrides}
    if not isinstance(model, DictConfig) or "agents" not in model:
        return
    if "networks" in asked or any(key.startswith("model.agents") for key in asked):
        return
    if not takes(model.get("_target_"), "agents"):
        del model["agents"]


def plain_config(cfg: DictConfig) -> dict[str, Any]:
    """Return a closed config as plain values, also before its run folder is chosen."""
    placed = cfg.copy()
    placed.run_dir = cfg.run_dir or PLACE
    return resolved(placed)


def config_text(command: Command) -> str:
    """Return the config of a command as YAML: the part that `command.show` names."""
    if command.multirun:
        raise UsageError("--cfg shows the config of one run; leave out -m")
    job = compose_jobs(command)[0]
    if command.show == "job":
        return OmegaConf.to_yaml(job.cfg, resolve=command.resolve)
    with composing(command) as root:
        lines = [*root.search, *command.overrides]
        whole = compose(root.name, overrides=lines, return_hydra_config=True)
    part = {"hydra": whole.hydra} if command.show == "hydra" else whole
    return OmegaConf.to_yaml(part, resolve=command.resolve)
