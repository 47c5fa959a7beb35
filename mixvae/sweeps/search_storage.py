"""What a search remembers: Optuna's study in a file of the search's folder."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mixvae.cli.errors import UsageError
from mixvae.cli.search_request import SearchConfig
from mixvae.cli.search_space import Parameter

STUDY = "search"
SQLITE_HEADER = b"SQLite format 3\x00"
# Two trials never have the same seed, whatever the search's.
SEED_STRIDE = 100_003


def check_optuna() -> None:
    """Refuse a search without Optuna.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UsageError("a search needs Optuna: pip install mixvae[sweep]") from error


def check_storage(path: Path) -> None:
    """Refuse a storage file that is something else; nothing is written.

    Args:
        path: The file; it need not be there.

    Raises:
        UsageError: If it is not Optuna's.
    """
    if not path.exists():
        return
    wrong = f"storage {path} is no {{}} of Optuna; choose another out=FOLDER or storage=NAME"
    if path.is_dir():
        raise UsageError(f"storage {path} is a folder; name a file")
    if path.suffix == ".journal":
        try:
            with path.open(encoding="utf-8") as file:
                line = file.readline()
            if line and "op_code" not in json.loads(line):
                raise ValueError(line)
        except (ValueError, TypeError) as error:
            raise UsageError(wrong.format("journal")) from error
        return
    with path.open("rb") as file:
        start = file.read(len(SQLITE_HEADER))
    if start not in (b"", SQLITE_HEADER):
        raise UsageError(wrong.format("database"))
    try:
        with closing(sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True)) as database:
            rows = database.execute("select name from sqlite_master").fetchall()
    except sqlite3.DatabaseError as error:
        raise UsageError(wrong.format("database")) from error
    if rows and ("studies",) not in rows:
        raise UsageError(wrong.format("database"))


@contextmanager
def opened_study(path: Path, config: SearchConfig) -> Iterator[Any]:
    """Open the study of a search, or begin one.

    Args:
        path: Its file, see `check_storage`.
        config: The search.

    Yields:
        The study.

    Raises:
        UsageError: If the file is not Optuna's, or of another version.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    check_storage(path)
    storage: Any
    try:
        if path.suffix == ".journal":
            backend = JournalFileBackend(str(path.absolute()))
            storage = optuna.storages.JournalStorage(backend)
        else:
            storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
        study = optuna.create_study(
            storage=storage,
            study_name=STUDY,
            direction=StudyDirection[config.direction.upper()],
            pruner=_pruner(config),
            load_if_exists=True,
        )
    except (ValueError, KeyError, RuntimeError) as error:
        raise UsageError(f"storage {path} cannot be read: {error}") from error
    try:
        yield study
    finally:
        if hasattr(storage, "engine"):
            storage.remove_session()
            storage.engine.dispose()


def _pruner(config: SearchConfig) -> Any:
    import optuna

    if config.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(
        n_startup_trials=config.pruner_trials, n_warmup_steps=config.pruner_epochs
    )


def new_trial(study: Any, config: SearchConfig, parameters: Sequence[Parameter]) -> Any:
    """Choose the next setting to try.

    Args:
        study: The study.
        config: The search.
        parameters: Its space.

    Returns:
        Optuna's trial. What it holds depends on the search's seed, its number and the trials before
        it, so a search that was stopped goes on as if it had not been.
    """
    import optuna

    number = len(study.get_trials(deepcopy=False))
    seed = (config.sampler_seed * SEED_STRIDE + number) % 2**32
    kinds = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    study.sampler = kinds[config.sampler](seed=seed)
    return study.ask(fixed_distributions={p.key: _distribution(p) for p in parameters})


def stopped_trials(study: Any) -> list[Any]:
    """Return the trials that had begun when the search was stopped, to go on with.

    Args:
        study: The study.
    """
    import optuna

    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    return [optuna.trial.Trial(study, trial._trial_id) for trial in running]


def _distribution(parameter: Parameter) -> Any:
    import optuna

    low, high, log = parameter.low, parameter.high, parameter.log
    if parameter.kind == "float":
        return optuna.distributions.FloatDistribution(low, high, log=log)
    if parameter.kind == "int":
        whole = int(low), int(high)
        return optuna.distributions.IntDistribution(*whole, log=log, step=parameter.step)
    return optuna.distributions.CategoricalDistribution(parameter.choices)
