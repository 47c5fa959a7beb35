"""Searches: a fake run stands for training where the driver alone is meant."""

from __future__ import annotations

import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from mixvae import sweep
from mixvae.callbacks.reporting import Reporting, RunPruned
from mixvae.cli.command import Command
from mixvae.cli.compose import Job
from mixvae.cli.search_request import SearchRequest, parse_sweep
from mixvae.files import write_json, write_text
from mixvae.runs import jobs
from mixvae.runs.folder import RunFolder
from mixvae.sweeps import search as search_driver
from mixvae.sweeps import search_record, tables
from tests.composed import composed
from tests.sweeps.conftest import Interrupted, read_csv

Search = Callable[..., Any]
LR = "model.optimizer.lr"
SPACE = {
    LR: {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "model.state_dim": {"type": "int", "low": 1, "high": 9, "step": 2},
    "augmenter": {"type": "categorical", "choices": ["none", "noise"]},
}
EPOCHS = 4


class FakeRun:
    """A run that takes no time: the further the learning rate is from 1e-3, the worse."""

    def __init__(self) -> None:
        self.done: list[list[str]] = []  # the overrides of every run
        self.stop_at: int | None = None  # number of the run that is stopped in its third epoch
        self.stop: BaseException = SystemExit(130)
        self.seconds = 0.0
        self.fail: Callable[[list[str]], bool] = lambda overrides: False

    def __call__(
        self, cfg: Any, overrides: list[str], *, folder: RunFolder, callbacks: Sequence[Reporting]
    ) -> float:
        """Report every epoch, and leave a summary."""
        folder.path.mkdir(exist_ok=True)
        write_text(folder.overrides, "\n".join(overrides))
        self.done.append(overrides)
        if self.fail(overrides):
            raise FloatingPointError("the loss became NaN")
        time.sleep(self.seconds)
        worth = abs(math.log10(cfg.model.optimizer.lr) + 3) + 0.1 * cfg.seed
        try:
            for epoch in range(1, EPOCHS + 1):
                if len(self.done) - 1 == self.stop_at and epoch == 3:
                    raise self.stop
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
    monkeypatch.setattr(jobs, "run_job", made)
    return made


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches without figures, which take longer than all else."""
    monkeypatch.setattr(search_record, "study_figures", lambda *arguments: {})
    monkeypatch.setattr(tables, "_draw", lambda *arguments: None)


@pytest.fixture
def quick(plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches whose configs hold what a fake run reads, and nothing else."""

    def compose(command: Command) -> list[Job]:
        lines = [line for line in command.overrides if line[0] not in "+~"]
        return [Job(OmegaConf.from_dotlist(lines), command.overrides)]

    monkeypatch.setattr(search_driver, "compose_jobs", compose)


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
    cfg = composed(command[3:])
    assert cfg.model.optimizer.lr == float(best[LR])
    # It is a sweep's folder too.
    assert len(read_csv(tmp_path / "s" / "sweep.csv")) == 6
    for name in ("search_history.png", "search_settings.png"):
        assert (tmp_path / "s" / name).stat().st_size > 1000


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("storage", "stop"), [("search.db", SystemExit(130)), ("search.journal", KeyboardInterrupt())]
)
def test_a_stopped_search_goes_on_to_the_same_end(
    storage: str,
    stop: BaseException,
    search: Search,
    fake: FakeRun,
    file: Callable[..., Path],
    tmp_path: Path,
) -> None:
    command = (f"search={file(pruner='median', pruner_trials=2)}", f"storage={storage}")
    assert search(*command, "out=whole")[0] == 0
    fake.done.clear()
    fake.stop_at, fake.stop = 2, stop
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
    # Another seed of the sampler draws other settings.
    assert search(*command, "out=other", "sampler_seed=1")[0] == 0
    first = [read_csv(tmp_path / name / "search.csv")[0][LR] for name in ("part", "other")]
    assert first[0] != first[1]


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
    assert trials[1]["error"].startswith("the loss became NaN")
    assert "error in trial 1: the loss became NaN" in err
    assert "Traceback" not in err
    assert RunFolder(tmp_path / "s" / "1").status == "failed"
    fake.fail = lambda overrides: True
    status, _, err = search(f"search={file()}", "out=none")
    assert status == 1
    assert "no trial of the search has finished" in err


@pytest.mark.usefixtures("quick")
def test_a_search_by_labels_says_so(
    search: Search, fake: FakeRun, file: Callable[..., Path]
) -> None:
    for metric, noted in (("val/accuracy", True), ("val/consensus", False)):
        out = search(f"search={file(metric=metric)}", f"out={metric[4:]}", "num_trials=1")[1]
        assert (f"note: {metric} compares with labels" in out) == noted


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
    fake.seconds = 0.2
    status, out, _ = search(f"search={file()}", "out=s", "timeout_min=0.001")
    assert status == 0
    assert "no further trial starts" in out
    assert len(fake.done) == 1
    fake.seconds = 0
    assert search(f"search={file()}", "out=s")[0] == 0
    assert len(fake.done) == 4


# --- Real runs ----------------------------------------------------------------------------------


@pytest.fixture
def real(file: Callable[..., Path], small: Sequence[str]) -> tuple[str, ...]:
    """A search of small runs on digits."""
    space = {LR: SPACE[LR], "model.tau": {"type": "float", "low": 0.5, "high": 2.0}}
    return (f"search={file(space=space, num_trials=2)}", *small)


@pytest.mark.slow
@pytest.mark.usefixtures("plain")
def test_an_interrupted_run_of_a_search_resumes_and_ends_the_same(
    search: Search, real: tuple[str, ...], tmp_path: Path, interrupted: Interrupted
) -> None:
    status, _, err = search(*real, "out=whole")
    assert status == 0, err
    with interrupted():
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


def a(**entry: Any) -> dict[str, Any]:
    """A file that searches `model.tau` in a range."""
    return {"space": {"model.tau": entry}}


def number(kind: str, low: Any = 1, high: Any = 9, **entry: Any) -> dict[str, Any]:
    return a(type=kind, low=low, high=high, **entry)


# The arguments beside search=mine.yaml, what the file changes or its text, and parts of the error.
WRONG: dict[str, tuple[str, dict[str, Any] | str, tuple[str, ...]]] = {
    "unknown name": ("search=digits_serch", {}, ("did you mean 'digits_search'?",)),
    "missing file": ("search=none.yaml", {}, ("none.yaml",)),
    "and collect": ("search=mine.yaml collect=taken", {}, ("collect=",)),
    "no equals": ("model", {}, ("'model'", "key=value")),
    "unknown key": ("num_trial=3", {}, ("did you mean 'num_trials'?",)),
    "unknown key of a run": ("daat=mnist", {}, ("did you mean 'data'?",)),
    "unknown argument": ("model.sate_dim=3", {}, ("did you mean 'model.state_dim'?",)),
    "no trials": ("num_trials=0", {}, ("num_trials is 0",)),
    "trials in words": ("num_trials=many", {}, ("num_trials", "'many'")),
    "direction": ("direction=up", {}, ("'up'", "minimize or maximize")),
    "sampler": ("sampler=grid", {}, ("'grid'", "tpe or random")),
    "pruner": ("pruner=mean", {}, ("'mean'", "median or none")),
    "no seeds": ("seeds=[]", {}, ("seeds",)),
    "seed twice": ("seeds=[1,1]", {}, ("[1, 1]", "each once")),
    "seed": ("seed=3", {}, ("seeds=[0,1]",)),
    "seed in the file": ("", {"overrides": ["seed=3"]}, ("seeds=[0,1]",)),
    "run folder": ("run_dir=x", {}, ("out=FOLDER",)),
    "plus": ("+experiment=digits_cpl", {}, ("without a plus",)),
    "experiment": ("experiment=digits_cp", {}, ("did you mean 'digits_cpl'?",)),
    "time": ("timeout_min=-1", {}, ("timeout_min is -1",)),
    "test": ("metric=test/loss", {}, ("test/loss", "val/loss")),
    "storage": ("storage=/other/search.db", {}, ("/other/search.db",)),
    "set and searched": (f"{LR}=1", {}, (LR,)),
    "taken": ("out=taken", {}, ("taken", "not empty")),
    "list": ("", "- 1\n", ("mine.yaml",)),
    "not YAML": ("", "a: [", ("mine.yaml",)),
    "unknown key in the file": ("", {"nun_trials": 3}, ("did you mean 'num_trials'?",)),
    "space that is a number": ("", {"space": 3}, ("space",)),
    "no space": ("", {"space": {}}, ("space is empty",)),
    "searched key": (
        "",
        {"space": {"model.sate_dim": SPACE["model.state_dim"]}},
        ("did you mean 'model.state_dim'?",),
    ),
    "searched value": (
        "",
        {"space": {"model.state_dim": {"type": "float", "low": 1.5, "high": 2.5}}},
        ("model.state_dim is 1.5",),
    ),
    "searched option": (
        "",
        {"space": {"augmenter": {"type": "categorical", "choices": ["none", "nois"]}}},
        ("did you mean 'noise'?",),
    ),
    "type": ("", number("flaot"), ("model.tau", "did you mean 'float'?")),
    "no type": ("", a(low=0, high=1), ("model.tau", "float, int, categorical")),
    "no range": ("", {"space": {"model.tau": [1, 2]}}, ("model.tau", "float, int, categorical")),
    "entry": ("", number("float", hihg=1), ("model.tau", "did you mean 'high'?")),
    "no high": ("", a(type="float", low=0), ("model.tau", "high")),
    "high below low": ("", number("float", 2, 1), ("model.tau", "low=2, high=1")),
    "logarithm of 0": ("", number("float", 0, 1, log=True), ("model.tau", "low=0")),
    "infinite": ("", number("float", high=math.inf), ("model.tau: high is inf",)),
    "text": ("", number("float", low="one"), ("model.tau: low is 'one'",)),
    "log": ("", number("float", log="yes"), ("model.tau: log is 'yes'",)),
    "fraction": ("", number("int", high=2.5), ("model.tau: high is 2.5",)),
    "step": ("", number("int", step=3), ("model.tau", "step=3")),
    "step and log": ("", number("int", step=2, log=True), ("model.tau", "step")),
    "step of 0": ("", number("int", step=0), ("model.tau", "step")),
    "no choices": ("", a(type="categorical", choices=[]), ("model.tau", "choices")),
    "choices": ("", a(type="categorical", choices="ab"), ("model.tau: choices is 'ab'",)),
    "choice": ("", a(type="categorical", choices=[[1]]), ("model.tau", "[1]")),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_search_is_refused_and_nothing_is_made(
    name: str, search: Search, file: Callable[..., Path], tmp_path: Path
) -> None:
    said, content, parts = WRONG[name]
    file(**content) if isinstance(content, dict) else (tmp_path / "mine.yaml").write_text(content)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thing").touch()
    before = sorted(tmp_path.rglob("*"))
    arguments = said.split()
    if "search=" not in said:
        arguments.insert(0, "search=mine.yaml")
    status, _, err = search(*arguments)
    assert status == 2
    assert all(part in err for part in parts), err
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


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("storage", ["search.db", "search.journal"])
def test_a_damaged_storage_is_an_error(
    storage: str, search: Search, fake: FakeRun, file: Callable[..., Path], tmp_path: Path
) -> None:
    command = (f"search={file()}", "out=s", f"storage={storage}")
    assert search(*command, "num_trials=1")[0] == 0
    (tmp_path / "s" / storage).write_text("damaged\n")
    status, _, err = search(*command)
    assert status == 2
    assert str(Path("s") / storage) in err
    assert "Traceback" not in err


def test_without_optuna_it_says_what_to_install(
    search: Search, file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    status, _, err = search(f"search={file()}", "out=s")
    assert status == 2
    assert "pip install mixvae[sweep]" in err
    assert not (tmp_path / "s").exists()


def test_every_search_in_conf_can_start(repo_root: Path) -> None:
    for path in (repo_root / "conf" / "sweep").glob("*.yaml"):
        request = parse_sweep([f"search={path.stem}"])
        assert isinstance(request, SearchRequest)
        search_driver.check_space(request)
