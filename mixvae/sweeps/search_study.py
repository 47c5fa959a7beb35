"""The study of a search: the file that keeps its trials, its sampler and pruner, its space."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixvae.cli.errors import UsageError, first_line
from mixvae.cli.search_request import Scalar, SearchConfig
from mixvae.suggestions import suggestion

STUDY = "search"
KINDS = {
    "float": "FloatDistribution",
    "int": "IntDistribution",
    "categorical": "CategoricalDistribution",
}
# No two trials share a seed, whatever the seed of the search.
SEED_STRIDE = 100_003


def corners(key: str, node: Any) -> list[Scalar]:
    """Return the values at the ends of a searched range, or all choices.

    Args:
        key: The searched key.
        node: `type` and the arguments of Optuna's `suggest_float`, `suggest_int` or
            `suggest_categorical`.

    Raises:
        UsageError: If Optuna does not take them, or would change them.
    """
    import optuna

    where, kind = f"space: {key}", node.get("type") if isinstance(node, Mapping) else node
    if kind not in tuple(KINDS):  # it may be unhashable
        near = suggestion(str(kind), KINDS)
        raise UsageError(f"{where} needs a type of {', '.join(KINDS)}, not {kind!r}{near}")
    distribution = getattr(optuna.distributions, KINDS[kind])
    known = list(inspect.signature(distribution).parameters)
    arguments = {str(name): value for name, value in node.items() if name != "type"}
    for name, value in arguments.items():
        if name not in known:
            raise UsageError(f"{where}: unknown entry {name!r}{suggestion(name, known)}")
        _check_type(f"{where}: {name}", name, value, whole=kind == "int")
    try:
        # Optuna warns of a step that does not divide the range, and of choices it cannot store.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = distribution(**arguments)
    except (TypeError, ValueError, UserWarning) as error:
        raise UsageError(f"{where}: {error}") from error
    return list(made.choices) if kind == "categorical" else [made.low, made.high]


def _check_type(where: str, name: str, value: Any, *, whole: bool) -> None:
    """Refuse what Optuna would take and misread."""
    if name == "choices":
        right, kind = isinstance(value, list), "a list"
    elif name == "log":
        right, kind = isinstance(value, bool), "true or false"
    else:
        right = type(value) is int or (type(value) is float and math.isfinite(value) and not whole)
        kind = "a whole number" if whole else "a number"
    if not right:
        raise UsageError(f"{where} is {value!r}; it must be {kind}")


def suggest(trial: Any, space: Mapping[str, Mapping[str, Any]]) -> dict[str, Scalar]:
    """Draw a trial's setting; a resumed trial keeps its own."""
    return {
        key: getattr(trial, f"suggest_{node['type']}")(
            key, **{name: value for name, value in node.items() if name != "type"}
        )
        for key, node in space.items()
    }


@contextmanager
def opened_study(path: Path, config: SearchConfig) -> Iterator[Any]:
    """Open the study of a search, which runs stopped trials first, or begin one.

    Args:
        path: SQLite database, or a journal if the suffix is `.journal`; made if missing.
        config: The search.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage: Any = None
    try:
        # SQLAlchemy would leave the connection to another file open.
        if path.suffix != ".journal" and path.is_file() and not _is_sqlite(path):
            raise ValueError("it is not an SQLite database")
        if path.suffix == ".journal":
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path.absolute())))
        else:
            storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
        pruner = optuna.pruners.MedianPruner(config.pruner_trials, config.pruner_epochs)
        study = optuna.create_study(
            storage=storage,
            study_name=STUDY,
            direction=StudyDirection[config.direction.upper()],
            pruner=optuna.pruners.NopPruner() if config.pruner == "none" else pruner,
            load_if_exists=True,
        )
        _requeue_stopped(study, storage)
    except Exception as error:  # of Optuna, SQLAlchemy or json, whatever the file's fault
        _close(storage)
        raise UsageError(f"storage {path} cannot be read: {first_line(error)}") from error
    try:
        yield study
    finally:
        _close(storage)


def _is_sqlite(path: Path) -> bool:
    """Whether a file begins as an SQLite database does; a new one is empty."""
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def _close(storage: Any) -> None:
    if hasattr(storage, "engine"):
        storage.remove_session()
        storage.engine.dispose()


def _requeue_stopped(study: Any, storage: Any) -> None:
    """Queue the trials that were running when the search was stopped, under their own numbers.

    Optuna's own retry would give them new numbers and shift the seeds of all later trials.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study_id = storage.get_study_id_from_name(study.study_name)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        storage.set_trial_state_values(trial_id, TrialState.WAITING)


def has_value(study: Any) -> bool:
    """Whether a trial of the study was trained to its end."""
    from optuna.trial import TrialState

    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def seed_sampler(study: Any, config: SearchConfig) -> None:
    """Seed the sampler by the next trial's number, so that a resumed search draws the same."""
    import optuna

    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    number = len(study.get_trials(deepcopy=False))
    seed = (config.sampler_seed * SEED_STRIDE + number) % 2**32
    study.sampler = samplers[config.sampler](seed=seed)
