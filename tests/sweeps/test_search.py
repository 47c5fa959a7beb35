"""Searches: a fake run stands for training where the driver alone is meant."""

from __future__ import annotations

import csv
import json
import math
import os
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback
from omegaconf import OmegaConf

from mixvae import sweep
from mixvae.callbacks.reporting import Reporting, RunPruned
from mixvae.cli.search_request import parse_search
from mixvae.cli.search_space import parse_parameter
from mixvae.files import write_json, write_text
from mixvae.runs import training
from mixvae.runs.build import build
from mixvae.runs.folder import RunFolder
from mixvae.sweeps import jobs, search_record, tables
from mixvae.sweeps import search as search_driver

Search = Callable[..., Any]
LR = "model.optimizer.lr"
SPACE = {
    LR: {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "model.state_dim": {"type": "int", "low": 1, "high": 9, "step": 2},
    "augmenter": {"type": "categorical", "choices": ["none", "noise"]},
}
EPOCHS = 4


class FakeRun:
    """A run that takes no time: the further the learning rate is from 1e-3, the worse.

    Attributes:
        done: The overrides of every run, in order.
        stop_at: Number of the run that Ctrl-C ends in its third epoch.
        fail: Whether a run with these overrides fails.
    """

    def __init__(self) -> None:
        self.done: list[list[str]] = []
        self.stop_at: int | None = None
        self.fail: Callable[[list[str]], bool] = lambda overrides: False

    def __call__(
        self, cfg: Any, overrides: list[str], folder: RunFolder, callbacks: Sequence[Reporting]
    ) -> float:
        """Report every epoch, and leave a summary."""
        folder.path.mkdir(exist_ok=True)
        write_text(folder.overrides, "\n".join(overrides))
        self.done.append(overrides)
        if self.fail(overrides):
            raise FloatingPointError("the loss became NaN")
        worth = abs(math.log10(cfg.model.optimizer.lr) + 3) + 0.1 * cfg.seed
        try:
            for epoch in range(1, EPOCHS + 1):
                if len(self.done) - 1 == self.stop_at and epoch == 3:
                    raise SystemExit(130)
                for callback in callbacks:
                    if callback.report(epoch, worth + 1 / epoch):
                        raise RunPruned(f"pruned after {epoch} epochs")
        except RunPruned:
            write_json(folder.summary, {"status": "pruned"})
            raise
        write_json(folder.summary, {"status": "finished", cfg.objective: worth})
        return worth


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    """Runs that take no time."""
    made = FakeRun()
    monkeypatch.setattr(jobs, "carry_out", made)
    return made


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches without figures, which take longer than all else."""
    monkeypatch.setattr(search_record, "_draw", lambda *arguments: [])
    monkeypatch.setattr(tables, "_draw", lambda *arguments: None)


@pytest.fixture
def quick(plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches whose configs hold what a fake run reads, and nothing else."""

    def compose(overrides: Sequence[str]) -> list[Any]:
        return [OmegaConf.from_dotlist([line for line in overrides if line[0] not in "+~"])]

    monkeypatch.setattr(search_driver, "check_command_line", compose)
    monkeypatch.setattr(search_driver, "check_values", lambda configs: None)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a search's file."""

    def write(**changes: Any) -> Path:
        content = {"space": SPACE, "num_trials": 4, "pruner": "none", **changes}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
        return tmp_path / "mine.yaml"

    return write


@pytest.fixture
def search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Search:
    """`mixvae.sweep` in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = sweep.main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    return command


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


def test_a_search_by_labels_says_so(
    search: Search, fake: FakeRun, quick: None, file: Callable[..., Path]
) -> None:
    _, out, _ = search(f"search={file(metric='val/accuracy')}", "out=labels", "num_trials=1")
    assert "note: val/accuracy compares with labels" in out
    _, out, _ = search(f"search={file(metric='val/consensus')}", "out=none", "num_trials=1")
    assert "labels" not in out


# --- The driver ---------------------------------------------------------------------------------


def test_a_search_tries_settings_and_tells_the_best(
    search: Search, fake: FakeRun, file: Callable[..., Path], tmp_path: Path
) -> None:
    status, out, err = search(f"search={file()}", "out=s", "model.tau=0.5", "num_trials=6")
    assert status == 0, err
    trials = read_csv(tmp_path / "s" / "search.csv")
    assert [row["trial"] for row in trials] == [row["jobs"] for row in trials] == list("012345")
    assert {row["status"] for row in trials} == {"finished"}
    for row, overrides in zip(trials, fake.done, strict=True):
        assert 1e-4 <= float(row[LR]) <= 1e-2
        assert row["model.state_dim"] in "13579"
        assert row["augmenter"] in ("none", "noise")
        assert overrides[0] == "model.tau=0.5"
        assert f"{LR}={row[LR]}" in overrides
    best = min(trials, key=lambda row: float(row["val/loss"]))
    assert f"best           trial {best['trial']}" in out
    command = shlex.split(out.splitlines()[-1])
    assert command[:3] == ["python", "-m", "mixvae.train"]
    assert f"{LR}={best[LR]}" in command
    assert command[-1] == "seed=0"
    # It is a sweep's folder too.
    assert len(read_csv(tmp_path / "s" / "sweep.csv")) == 6
    for name in ("search_history.png", "search_settings.png"):
        assert (tmp_path / "s" / name).stat().st_size > 1000


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("storage", ["search.db", "search.journal"])
def test_a_stopped_search_goes_on_to_the_same_end(
    storage: str, search: Search, fake: FakeRun, file: Callable[..., Path], tmp_path: Path
) -> None:
    command = (f"search={file(pruner='median', pruner_trials=2)}", f"storage={storage}")
    assert search(*command, "out=whole")[0] == 0
    fake.done.clear()
    fake.stop_at = 2
    status, _, err = search(*command, "out=part")
    assert status == 130, err
    assert len(fake.done) == 3
    status, _, err = search(*command, "out=part")
    assert status == 0, err
    tables = [(tmp_path / name / "search.csv").read_text() for name in ("whole", "part")]
    assert tables[0] == tables[1]
    # What is finished is kept; more trials may be asked for.
    runs = len(fake.done)
    assert search(*command, "out=part")[0] == 0
    assert len(fake.done) == runs
    assert search(*command, "out=part", "num_trials=5")[0] == 0
    assert len(fake.done) == runs + 1


@pytest.mark.usefixtures("quick")
def test_the_mean_over_seeds_counts(
    search: Search, fake: FakeRun, file: Callable[..., Path], tmp_path: Path
) -> None:
    status, out, err = search(f"search={file()}", "out=s", "num_trials=2", "seeds=[1,3]")
    assert status == 0, err
    assert [line for run in fake.done for line in run if line.startswith("seed=")] == [
        *("seed=1", "seed=3"),
        *("seed=1", "seed=3"),
    ]
    first, second = read_csv(tmp_path / "s" / "search.csv")
    assert (first["jobs"], second["jobs"]) == ("0 1", "2 3")
    worth = abs(math.log10(float(first[LR])) + 3) + 0.2
    assert float(first["val/loss"]) == pytest.approx(worth, rel=1e-4)
    assert shlex.split(out.splitlines()[-1])[3] == "-m"
    assert out.splitlines()[-1].endswith("seed=1,3")
    assert len(read_csv(tmp_path / "s" / "aggregate.csv")) == 2


@pytest.mark.usefixtures("quick")
def test_failures_are_recorded_and_the_search_goes_on(
    search: Search, fake: FakeRun, file: Callable[..., Path], tmp_path: Path
) -> None:
    fake.fail = lambda overrides: len(fake.done) == 2
    status, _, err = search(f"search={file()}", "out=s")
    assert status == 0, err
    trials = read_csv(tmp_path / "s" / "search.csv")
    assert [row["status"] for row in trials] == ["finished", "failed", "finished", "finished"]
    assert trials[1]["error"] == "the loss became NaN"
    assert "error in trial 1: the loss became NaN" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "s" / "1" / "summary.json").read_text())["status"] == "failed"


@pytest.mark.usefixtures("quick")
def test_a_search_without_a_value_says_so(
    search: Search, fake: FakeRun, file: Callable[..., Path]
) -> None:
    fake.fail = lambda overrides: True
    status, _, err = search(f"search={file()}", "out=s")
    assert status == 1
    assert "no trial of the search reached a value" in err


@pytest.mark.usefixtures("quick")
def test_hopeless_trials_are_pruned(
    search: Search, fake: FakeRun, file: Callable[..., Path], tmp_path: Path
) -> None:
    path = file(pruner="median", pruner_trials=2, pruner_epochs=2, num_trials=12)
    status, out, err = search(f"search={path}", "out=s")
    assert status == 0, err
    trials = read_csv(tmp_path / "s" / "search.csv")
    pruned = [row for row in trials if row["status"] == "pruned"]
    assert pruned
    assert "pruned after 2 epochs" in out
    # Of a pruned trial its last report is shown, and it is never the best.
    for row in pruned:
        worth = abs(math.log10(float(row[LR])) + 3)
        assert float(row["val/loss"]) == pytest.approx(worth + 1 / 2, rel=1e-4)
    assert {row["status"] for row in read_csv(tmp_path / "s" / "sweep.csv")} == {
        "finished",
        "pruned",
    }


@pytest.mark.usefixtures("quick")
def test_no_trial_begins_after_the_time_is_up(
    search: Search, fake: FakeRun, file: Callable[..., Path], tmp_path: Path
) -> None:
    status, out, _ = search(f"search={file()}", "out=s", "timeout_min=1e-9")
    assert status == 0
    assert "no new trial begins" in out
    assert not fake.done
    assert search(f"search={file()}", "out=s")[0] == 0
    assert len(fake.done) == 4


# --- Real runs ----------------------------------------------------------------------------------


class Interrupt(Callback):
    """Press Ctrl-C in the second epoch."""

    def on_train_batch_end(self, trainer: Any, *others: Any, **named: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


@pytest.fixture
def real(file: Callable[..., Path], small: Sequence[str]) -> tuple[str, ...]:
    """A search of small runs on digits."""
    space = {LR: SPACE[LR], "model.tau": {"type": "float", "low": 0.5, "high": 2.0}}
    return (f"search={file(space=space, num_trials=2)}", *small)


@pytest.mark.usefixtures("plain")
def test_an_interrupted_run_of_a_search_resumes_and_ends_the_same(
    search: Search, real: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = search(*real, "out=whole")
    assert status == 0, err

    def build_interrupted(cfg: Any) -> Any:
        parts = build(cfg)
        parts.trainer.callbacks.insert(0, Interrupt())
        return parts

    with monkeypatch.context() as patch:
        patch.setattr(training, "build", build_interrupted)
        assert search(*real, "out=part")[0] == 130
    assert RunFolder(tmp_path / "part" / "0").status == "interrupted"
    status, out, err = search(*real, "out=part")
    assert status == 0, err
    assert "resuming part/0 at epoch 2" in out
    for name in ("search.csv", "0/metrics.csv", "1/metrics.csv"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "part" / name).read_text()


@pytest.mark.usefixtures("plain")
def test_a_pruned_run_says_so(
    search: Search, real: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda trial: trial.number == 1)
    status, out, err = search(*real, "out=s", "pruner=median")
    assert status == 0, err
    assert RunFolder(tmp_path / "s" / "1").status == "pruned"
    assert "trial 1: pruned after 1 epochs at val/loss" in out
    assert "Traceback" not in out + err
    assert "1 finished, 1 pruned" in out
    assert "to go on" not in err


@pytest.mark.usefixtures("plain")
def test_a_metric_that_is_not_logged_ends_the_search_at_once(
    search: Search, real: tuple[str, ...], tmp_path: Path
) -> None:
    status, _, err = search(*real, "out=s", "metric=val/los")
    assert status == 2
    assert "metric is 'val/los', which is not logged; did you mean 'val/loss'?" in err
    assert "Traceback" not in err
    assert not (tmp_path / "s" / "1").exists()


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_to_the_same_end(
    search: Search, real: tuple[str, ...], tmp_path: Path, repo_root: Path
) -> None:
    command = (*real, "trainer.max_epochs=30", "num_trials=3")
    status, _, err = search(*command, "out=whole")
    assert status == 0, err
    process = subprocess.Popen(
        [sys.executable, "-m", "mixvae.sweep", *command, "out=part"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repo_root)},
        stdout=subprocess.DEVNULL,
    )
    begun = tmp_path / "part" / "1" / "metrics.csv"
    while not begun.exists() or len(begun.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert RunFolder(tmp_path / "part" / "1").status == "running"
    status, out, err = search(*command, "out=part")
    assert status == 0, err
    assert "resuming part/1" in out
    for name in ("search.csv", "1/metrics.csv", "2/metrics.csv"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "part" / name).read_text()


# --- What is refused ----------------------------------------------------------------------------

WRONG_LINES = {
    "no name": (["search="], "name a search"),
    "unknown name": (["search=digits_serch"], "did you mean 'digits_search'?"),
    "no file": (["search=none.yaml"], "there is no such file"),
    "no equals": (["search=mine.yaml", "model"], "write key=value"),
    "unknown key": (["search=mine.yaml", "num_trial=3"], "did you mean 'num_trials'?"),
    "unknown of a run": (["search=mine.yaml", "daat=mnist"], "did you mean 'data'?"),
    "unknown run key": (["search=mine.yaml", "model.sate_dim=3"], "did you mean 'model."),
    "no trials": (["search=mine.yaml", "num_trials=0"], "num_trials is 0; it must be at least 1"),
    "trials in words": (["search=mine.yaml", "num_trials=many"], "num_trials: Value 'many'"),
    "direction": (["search=mine.yaml", "direction=up"], "use minimize or maximize"),
    "sampler": (["search=mine.yaml", "sampler=grid"], "use tpe or random"),
    "pruner": (["search=mine.yaml", "pruner=mean"], "use median or none"),
    "no seeds": (["search=mine.yaml", "seeds=[]"], "name one or more"),
    "seed twice": (["search=mine.yaml", "seeds=[1,1]"], "each once"),
    "seed": (["search=mine.yaml", "seed=3"], "write seeds=[0,1]"),
    "run folder": (["search=mine.yaml", "run_dir=x"], "write out=FOLDER"),
    "plus": (["search=mine.yaml", "+experiment=digits_cpl"], "without a plus"),
    "experiment": (["search=mine.yaml", "experiment=digits_cp"], "did you mean 'digits_cpl'?"),
    "time": (["search=mine.yaml", "timeout_min=-1"], "more than 0"),
    "test": (["search=mine.yaml", "metric=test/loss"], "no longer tested by it"),
    "set and searched": (["search=mine.yaml", f"{LR}=1"], "cannot be set as well"),
    "taken": (["search=mine.yaml", "out=taken"], "is not empty and holds no search"),
}


@pytest.mark.parametrize("name", WRONG_LINES)
def test_a_wrong_search_is_refused_and_nothing_is_made(
    name: str, search: Search, file: Callable[..., Path], tmp_path: Path
) -> None:
    file()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thing").touch()
    before = sorted(tmp_path.rglob("*"))
    arguments, message = WRONG_LINES[name]
    status, _, err = search(*arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("quick")
def test_a_search_in_a_folder_of_another_is_refused(
    search: Search, fake: FakeRun, file: Callable[..., Path]
) -> None:
    assert search(f"search={file()}", "out=s", "num_trials=1")[0] == 0
    status, _, err = search(f"search={file()}", "out=s", "metric=val/consensus")
    assert status == 2
    assert "holds a search with metric=val/loss, not val/consensus" in err


SPACES = {
    "unknown key": ({"model.sate_dim": SPACE["model.state_dim"]}, "did you mean 'model."),
    "type of a value": (
        {"model.state_dim": {"type": "float", "low": 1.5, "high": 2.5}},
        "model.state_dim is 1.5; it must be a whole number",
    ),
    "unknown option": (
        {"augmenter": {"type": "categorical", "choices": ["none", "nois"]}},
        "did you mean 'noise'?",
    ),
    "empty": ({}, "its space is empty"),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_of_keys_that_no_config_has_is_refused(
    name: str, search: Search, file: Callable[..., Path], tmp_path: Path
) -> None:
    space, message = SPACES[name]
    status, _, err = search(f"search={file(space=space)}", "out=s")
    assert status == 2
    assert message in err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"type": "flaot", "low": 0, "high": 1}, "did you mean 'float'?"),
        ({"low": 0, "high": 1}, "needs a type of float, int, categorical"),
        (3, "needs a type"),
        ({"type": "float", "low": 0, "hihg": 1}, "unknown entry 'hihg'; did you mean 'high'?"),
        ({"type": "float", "low": 0}, "high is None; it must be a number"),
        ({"type": "float", "low": 2, "high": 1}, "low is 2, which is not below high, 1"),
        ({"type": "float", "low": 1, "high": 1}, "not below high"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "low is 0, which has no logarithm"),
        ({"type": "float", "low": 0, "high": math.inf}, "must be a number"),
        ({"type": "float", "low": 0, "high": 1, "log": "yes"}, "must be true or false"),
        ({"type": "int", "low": 1, "high": 2.5}, "high is 2.5; it must be a whole number"),
        ({"type": "int", "low": 1, "high": 9, "step": 3}, "must divide high - low = 8"),
        ({"type": "int", "low": 1, "high": 9, "step": 2, "log": True}, "be 1 with log"),
        ({"type": "int", "low": 1, "high": 9, "step": 0}, "step is 0"),
        ({"type": "categorical", "choices": []}, "needs a list of choices"),
        ({"type": "categorical", "choices": "ab"}, "needs a list of choices"),
        ({"type": "categorical", "choices": [[1]]}, "is no plain value"),
        ({"type": "categorical", "choices": [1, "1"]}, "names a choice twice"),
    ],
)
def test_a_range_that_is_none_is_refused(node: Any, message: str) -> None:
    with pytest.raises(ValueError, match="space: a") as stop:
        parse_parameter("a", node)
    assert message in str(stop.value)


def test_a_file_that_is_no_search_is_refused(
    search: Search, tmp_path: Path, file: Callable[..., Path]
) -> None:
    for text, message in (
        ("- 1\n", "holds no keys"),
        ("a: [", "mine.yaml"),
        ("nun_trials: 3\n", "unknown key 'nun_trials'; did you mean 'num_trials'?"),
        ("space: 3\n", "space"),
    ):
        (tmp_path / "mine.yaml").write_text(text)
        status, _, err = search("search=mine.yaml")
        assert status == 2
        assert message in err
        assert "Traceback" not in err


def test_a_storage_that_is_something_else_is_refused(
    search: Search, file: Callable[..., Path], tmp_path: Path
) -> None:
    file()
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("create table mine (a)")
    (tmp_path / "text.db").write_text("no database at all")
    (tmp_path / "text.journal").write_text("no journal")
    (tmp_path / "broken.journal").write_text("{no journal}\n")
    (tmp_path / "short.db").write_bytes(b"SQLite format 3\x00 and no more")
    for path in sorted(tmp_path.glob("*.db")) + sorted(tmp_path.glob("*.journal")):
        before = path.read_bytes()
        status, _, err = search("search=mine.yaml", "out=s", f"storage={path}")
        assert status == 2, path
        assert str(path) in err
        assert "Traceback" not in err
        assert path.read_bytes() == before


def test_without_optuna_it_says_what_to_install(
    search: Search, file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    status, _, err = search(f"search={file()}", "out=s")
    assert status == 2
    assert "pip install mixvae[sweep]" in err
    assert not (tmp_path / "s").exists()


def test_every_search_of_ours_can_be_begun(repo_root: Path) -> None:
    from mixvae.sweeps.search import check_space

    for path in (repo_root / "conf" / "sweep").glob("*.yaml"):
        check_space(parse_search([f"search={path.stem}"]))
