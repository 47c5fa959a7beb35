"""What a search is asked for: its file and the command line; light, so mistakes are told soon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from mixvae.cli.errors import UsageError, first_line
from mixvae.cli.schema import RunConfig, conf_dir
from mixvae.cli.search_space import Parameter, Scalar, as_text, parse_parameter
from mixvae.suggestions import suggestion

# Keys of a run that the search itself decides, and what to say instead.
DECIDED = {
    "seed": "seeds=[0,1]",
    "run_dir": "out=FOLDER",
    "objective": "metric=NAME",
    "resume": "the same command again, which goes on",
    "experiment": "experiment=NAME, without a plus",
}

# Measures that compare with labels: a search by one of them is no longer one without labels.
LABELLED = ("accuracy", "nmi", "ari", "probe", "coherence", "label")


@dataclass
class SearchConfig:
    """What a file in `conf/sweep` holds; on the command line these keys speak to the search.

    Attributes:
        experiment: Experiment that every run starts from; null: the built-in default.
        overrides: What every run overrides.
        space: What is searched: a key of the config, or a group, and its range.
        metric: Logged metric, taken at the end of training.
        direction: `minimize` or `maximize` the metric.
        num_trials: Settings to try, those included that fail or are pruned.
        seeds: Every setting is run with each of these; the metric's mean counts.
        sampler: `tpe` learns from earlier trials, `random` does not.
        sampler_seed: Seed of the choice of settings.
        pruner: `median` stops a run that is worse than the median of the others at its epoch,
            `none` stops none; with several seeds, the first one's run decides.
        pruner_trials: Trials to be finished before any is pruned.
        pruner_epochs: Epochs that every run has before it may be pruned.
        timeout_min: No trial begins after so many minutes; null: no limit.
        storage: Where Optuna keeps the trials, inside the search's folder: SQLite, or a journal if
            the name ends with `.journal`.
    """

    experiment: str | None = None
    overrides: list[str] = field(default_factory=list)
    space: dict[str, Any] = field(default_factory=dict)
    metric: str = "val/loss"
    direction: str = "minimize"
    num_trials: int = 20
    seeds: list[int] = field(default_factory=lambda: [0])
    sampler: str = "tpe"
    sampler_seed: int = 0
    pruner: str = "median"
    pruner_trials: int = 5
    pruner_epochs: int = 0
    timeout_min: float | None = None
    storage: str = "search.db"


@dataclass
class SearchRequest:
    """A search as asked for.

    Attributes:
        name: Name of the search.
        config: Its file, changed by the command line.
        parameters: Its space.
        folder: The search's folder.
    """

    name: str
    config: SearchConfig
    parameters: list[Parameter]
    folder: Path

    @property
    def uses_labels(self) -> bool:
        """Whether the metric that settings are chosen by compares with labels."""
        words = self.config.metric.replace("/", "_").split("_")
        return not set(words).isdisjoint(LABELLED)

    def overrides(self, values: Mapping[str, Scalar], seed: int) -> list[str]:
        """Return what the run of a setting with a seed overrides.

        Args:
            values: The setting.
            seed: The run's seed.
        """
        return [*self.setting(values), f"seed={seed}", f"objective={self.config.metric}"]

    def setting(self, values: Mapping[str, Scalar]) -> list[str]:
        """Return the overrides of a setting, the seed left open.

        Args:
            values: The setting.
        """
        experiment = self.config.experiment
        first = [] if experiment is None else [f"+experiment={experiment}"]
        return [*first, *self.config.overrides, *(f"{k}={as_text(v)}" for k, v in values.items())]


def parse_search(arguments: Sequence[str]) -> SearchRequest:
    """Read the command line of a search and the file that it names.

    Args:
        arguments: `search=NAME`, `out=FOLDER`, keys of the search, and overrides of its runs.

    Raises:
        UsageError: Naming the first thing that is wrong.
    """
    own: dict[str, str] = {}
    changes: list[str] = []
    overrides: list[str] = []
    known = [item.name for item in fields(SearchConfig) if item.name not in ("space", "overrides")]
    for line in arguments:
        key, separator, _ = line.partition("=")
        root = key.lstrip("+~")
        if not separator and not line.startswith("~"):
            raise UsageError(f"{line!r} is not understood; write key=value")
        if root in DECIDED and not (root == "experiment" and key == root):
            raise UsageError(f"{line}: the search decides on it; write {DECIDED[root]}")
        if key in ("search", "out", "debug"):
            own[key] = line.partition("=")[2]
        elif key in known:
            changes.append(line)
        elif line[0] not in "+~" and _is_nearly(root, known):
            raise UsageError(f"unknown key {root!r}{suggestion(root, known)}")
        else:
            overrides.append(line)
    name, file = _find(own.get("search", ""))
    config = _read(file, changes)
    config.overrides = [*config.overrides, *overrides]
    _check(config, file)
    parameters = [parse_parameter(key, node) for key, node in config.space.items()]
    fixed = {line.lstrip("+~").partition("=")[0] for line in config.overrides}
    for parameter in parameters:
        if parameter.key in (*fixed, *DECIDED):
            raise UsageError(f"{parameter.key} is searched and cannot be set as well")
    folder = Path(own.get("out") or Path("multirun") / "search" / name).expanduser()
    return SearchRequest(name, config, parameters, folder)


def _is_nearly(key: str, known: Sequence[str]) -> bool:
    """Whether a key looks like one of the search's and like none of a run's config."""
    of_runs = [*RunConfig.__dataclass_fields__, "networks", "likelihood"]
    if key.partition(".")[0].partition("@")[0] in of_runs:
        return False
    nearest = get_close_matches(key, [*known, *of_runs], n=1)
    return bool(nearest) and nearest[0] in known and nearest[0] not in of_runs


def _find(name: str) -> tuple[str, Path]:
    """Return a search's name and file; the user's own are named by their path."""
    if not name:
        raise UsageError("name a search: search=NAME")
    if name.endswith((".yaml", ".yml")):
        if not Path(name).expanduser().is_file():
            raise UsageError(f"search={name}: there is no such file")
        return Path(name).stem, Path(name).expanduser()
    file = conf_dir() / "sweep" / f"{name}.yaml"
    if "/" in name or not file.is_file():
        valid = [path.stem for path in (conf_dir() / "sweep").glob("*.yaml")]
        raise UsageError(f"there is no search {name!r}{suggestion(name, valid)}")
    return name, file


def _read(file: Path, changes: Sequence[str]) -> SearchConfig:
    """Read a search's file under its schema, and change what the command line says."""
    known = [item.name for item in fields(SearchConfig)]
    # A dotted key of the space is one key; OmegaConf would not tell it from a path.
    try:
        content = OmegaConf.load(file)
        if not isinstance(content, DictConfig):
            raise UsageError(f"{file} is no search: it holds no keys")
        said = OmegaConf.from_dotlist(list(changes))
        merged = OmegaConf.merge(OmegaConf.structured(SearchConfig), content, said)
        config = OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        key = str(error.key)
        raise UsageError(f"{file}: unknown key {key!r}{suggestion(key, known)}") from error
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "full_key", None) or file
        raise UsageError(f"{place}: {first_line(error)}") from error
    assert isinstance(config, SearchConfig)
    return config


def _check(config: SearchConfig, file: Path) -> None:
    """Refuse values of the search that cannot be meant."""
    for name, valid in (
        ("direction", ("minimize", "maximize")),
        ("sampler", ("tpe", "random")),
        ("pruner", ("median", "none")),
    ):
        value = getattr(config, name)
        if value not in valid:
            raise UsageError(f"{name} is {value!r}; use {' or '.join(valid)}")
    for name, low in (("num_trials", 1), ("pruner_trials", 0), ("pruner_epochs", 0)):
        value = getattr(config, name)
        if value < low:
            raise UsageError(f"{name} is {value}; it must be at least {low}")
    if config.timeout_min is not None and not config.timeout_min > 0:
        raise UsageError(f"timeout_min is {config.timeout_min}; it must be more than 0, or null")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise UsageError(f"seeds is {config.seeds}; name one or more, each once")
    if config.metric.startswith("test/"):
        raise UsageError(
            f"metric is {config.metric}: what is chosen by the test set is no longer tested by it;"
            " choose val/loss or val/consensus"
        )
    if not config.space:
        raise UsageError(f"{file} searches nothing: its space is empty")
