"""The request that `mixvae.sweep` reads from its command line and a search's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from mixvae.cli.command import key_of
from mixvae.cli.errors import UsageError, first_line
from mixvae.cli.requests import Overrides, read_keywords
from mixvae.cli.schema import RunConfig, named_file
from mixvae.suggestions import suggestion

Scalar = bool | int | float | str | None
# The keys of a run that the search sets itself, and their replacements.
DECIDED = {
    "seed": "seeds=[0,1]",
    "run_dir": "out=FOLDER",
    "objective": "metric=NAME",
    "resume": "the same command again, which resumes the search",
    "experiment": "experiment=NAME, without a plus",
}
RUN_KEYS = [name for name in RunConfig.__dataclass_fields__ if name not in ("debug", "traceback")]
# Metrics that need labels: a search by one of them is no longer unsupervised.
LABELLED = ("accuracy", "nmi", "ari", "probe", "coherence", "label")
CHOICES = {
    "direction": ("minimize", "maximize"),
    "sampler": ("tpe", "random"),
    "pruner": ("median", "none"),
}
LOWEST = {"num_trials": 1, "pruner_trials": 0, "pruner_epochs": 0}


@dataclass
class SearchConfig:
    """The keys of a file in `conf/sweep`; all but `space` may also stand on the command line.

    Attributes:
        experiment: Experiment that every run starts from; null: the built-in default.
        overrides: Overrides of every run.
        space: The searched ranges: for a key or group of the config, `type: float`, `int` or
            `categorical`, and the arguments of Optuna's `suggest_float`, `suggest_int` or
            `suggest_categorical`.
        metric: Logged metric, taken at the end of training.
        direction: `minimize` or `maximize` the metric.
        num_trials: Number of settings, counting the failed and pruned ones.
        seeds: A trial runs its setting once with each of these; its value is the mean.
        sampler: `tpe` learns from earlier trials, `random` does not.
        sampler_seed: Seed of the choice of settings.
        pruner: `median` stops a run that is worse than the median of the others at its epoch,
            `none` stops none; with several seeds, the first one's run decides.
        pruner_trials: Trials to finish before any is pruned.
        pruner_epochs: Epochs that a run trains before it may be pruned.
        timeout_min: No trial starts after this time, in minutes; null: no limit.
        storage: File in the search's folder in which Optuna keeps the trials: SQLite, or a journal
            if the name ends with `.journal`.
    """

    experiment: str | None = None
    overrides: Annotated[
        list[str], Overrides(*RUN_KEYS, "experiment", "networks", "likelihood")
    ] = field(default_factory=list)
    space: dict[str, Any] = field(default_factory=dict, init=False)
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
class SweepRequest(SearchConfig):
    """Search for good settings, or write the tables of a sweep: python -m mixvae.sweep ...

      search=NAME         a search of conf/sweep, or a .yaml file: trains one setting after another,
                          each chosen from the results so far (needs mixvae[sweep])
      out=FOLDER          folder of the search, multirun/search/NAME by default; the same command
                          again continues the search
      num_trials=30       and every other key of the search file: experiment, metric, direction,
                          seeds=[0,1,2], sampler, sampler_seed, pruner, pruner_trials,
                          pruner_epochs, timeout_min, storage
      KEY=VALUE           other keys are overrides of every run: trainer.max_epochs=10

      collect=FOLDER      a sweep folder, multirun/<name>/<date_time>: writes sweep.csv (a row for
                          each job), aggregate.csv (mean and standard deviation over seeds) and
                          sweep.png from the jobs in it
      debug=true          show the full traceback of an error

    A sweep is a multirun of mixvae.train, which writes the same files at the end:
      python -m mixvae.train -m +experiment=digits_cpl seed=0,1,2
      python -m mixvae.train -m sweep.resume=multirun/digits_cpl/...     continues a stopped one
    """

    search: str | None = None
    out: Path | None = None
    collect: Path | None = None


@dataclass
class SearchRequest:
    """A search to run: its file, changed by the command line, and its folder."""

    config: SearchConfig
    folder: Path

    @property
    def uses_labels(self) -> bool:
        """Whether the metric compares with labels."""
        words = self.config.metric.replace("/", "_").split("_")
        return not set(words).isdisjoint(LABELLED)

    def overrides(self, values: Mapping[str, Scalar], seed: int) -> list[str]:
        """Return the overrides of a setting's run with a seed."""
        return [*self.setting(values), f"seed={seed}", f"objective={self.config.metric}"]

    def setting(self, values: Mapping[str, Scalar]) -> list[str]:
        """Return the overrides of a setting, without the seed."""
        experiment = self.config.experiment
        first = [] if experiment is None else [f"+experiment={experiment}"]
        return [*first, *self.config.overrides, *(f"{k}={as_text(v)}" for k, v in values.items())]


def as_text(value: Scalar) -> str:
    """Return a value as on the command line."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return value if isinstance(value, str) else repr(value)


def parse_sweep(arguments: Sequence[str]) -> Path | SearchRequest:
    """Return the sweep's folder to collect, or the search to run."""
    said = read_keywords(SweepRequest, arguments, partial=True)
    overrides = said.pop("overrides")
    if said.get("collect") is not None and not overrides and len(said) == 1:
        return Path(said["collect"])
    if said.get("search") is None or "collect" in said:
        raise UsageError(
            "name the folder of a sweep: collect=multirun/..., or a search: search=NAME"
        )
    name, file = _find(said.pop("search"))
    folder = said.pop("out", None) or Path("multirun") / "search" / name
    config = _read(file, said)
    config.overrides = [*config.overrides, *overrides]
    _check(config, file)
    return SearchRequest(config, folder)


def _find(name: str) -> tuple[str, Path]:
    """Return the name and file of a search: one of conf/sweep, or the user's own by its path."""
    file = named_file("search", "sweep", name)
    return file.stem, file


def _read(file: Path, said: Mapping[str, Any]) -> SearchConfig:
    """Read a search's file by its schema, and change the keys that the command line names."""
    try:
        content = OmegaConf.load(file)
        if not isinstance(content, DictConfig):
            raise UsageError(f"{file} is not a search: it holds no keys")
        merged = OmegaConf.merge(OmegaConf.structured(SearchConfig), content, dict(said))
        config = OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        known = [item.name for item in fields(SearchConfig)]
        near = suggestion(str(error.key), known)
        raise UsageError(f"{file}: unknown key {str(error.key)!r}{near}") from error
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "full_key", None) or file
        raise UsageError(f"{place}: {first_line(error)}") from error
    assert isinstance(config, SearchConfig)
    return config


def _check(config: SearchConfig, file: Path) -> None:
    """Refuse values that a search cannot have."""
    for name, valid in CHOICES.items():
        value = getattr(config, name)
        if value not in valid:
            raise UsageError(f"{name} is {value!r}; use {' or '.join(valid)}")
    for name, lowest in LOWEST.items():
        value = getattr(config, name)
        if value < lowest:
            raise UsageError(f"{name} is {value}; it must be at least {lowest}")
    if config.timeout_min is not None and not config.timeout_min > 0:
        raise UsageError(f"timeout_min is {config.timeout_min}; it must be more than 0, or null")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise UsageError(f"seeds is {config.seeds}; name one or more, each once")
    if Path(config.storage).name != config.storage:
        raise UsageError(f"storage is {config.storage!r}; name a file, without a folder")
    if config.metric.startswith("test/"):
        raise UsageError(
            f"metric is {config.metric}: a choice by the test set leaves no test;"
            " use val/loss or val/consensus"
        )
    if not config.space:
        raise UsageError(f"{file}: space is empty")
    fixed = [key_of(line) for line in config.overrides]
    for key in (*fixed, *config.space):
        if key in DECIDED:
            raise UsageError(f"{key}: the search sets it; write {DECIDED[key]}")
    if twice := [key for key in config.space if key in fixed]:
        raise UsageError(f"{twice[0]} is searched, so it cannot be set as well")
