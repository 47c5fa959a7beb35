from __future__ import annotations

import json
import pickle
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback

from mixvae import evaluate
from mixvae.runs import fitting, training

Make = Callable[..., Path]
Train = Callable[..., Any]
Read = Callable[[Path], dict[str, Any]]

# Noise for each agent and labels that are matched: all that must be put back to be exact.
EXACT = ("augmenter=noise", "model.align_epochs=[2]", "trainer.max_epochs=4")


class StopAt(Callback):
    """Raise at a moment of training."""

    def __init__(self, hook: str, epoch: int, error: type[BaseException], batch: int = 0) -> None:
        self.hook, self.epoch, self.error, self.batch = hook, epoch, error, batch

    def _stop(self, hook: str, trainer: Any) -> None:
        if hook == self.hook and trainer.current_epoch == self.epoch:
            raise self.error

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._stop("on_train_epoch_start", trainer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == self.batch:
            self._stop("on_train_batch_end", trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._stop("on_validation_start", trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._stop("on_validation_end", trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._stop("on_train_epoch_end", trainer)

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._stop("on_test_start", trainer)


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[StopAt | None], None]:
    """Let runs be stopped: at the given moment, or with None no more."""
    build = training.build

    def set_stop(stop: StopAt | None) -> None:
        def build_with_stop(cfg: Any) -> Any:
            parts = build(cfg)
            if stop is not None:
                parts.trainer.callbacks.insert(0, stop)
            return parts

        monkeypatch.setattr(training, "build", build_with_stop)

    return set_stop


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same_state(one: Any, other: Any, path: str = "") -> None:
    """Every number in two checkpoints is equal, but for what names no number."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same_state(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, (first, second) in enumerate(zip(one, other, strict=True)):
            assert_same_state(first, second, f"{path}/{index}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path


MOMENTS = {
    "first epoch": ("on_train_batch_end", 0, 2),
    "in an epoch": ("on_train_batch_end", 2, 3),
    "epoch start": ("on_train_epoch_start", 2, 0),
    "validation start": ("on_validation_start", 1, 0),
    "validation end": ("on_validation_end", 1, 0),
    "epoch end": ("on_train_epoch_end", 2, 0),
    "last batch": ("on_train_batch_end", 3, 4),
    "test": ("on_test_start", 4, 0),
}


@pytest.mark.parametrize(("hook", "epoch", "batch"), MOMENTS.values(), ids=MOMENTS.keys())
def test_a_resumed_run_is_bit_for_bit_an_uninterrupted_one(
    run: Make,
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    read_json: Read,
    stopping: Callable[[StopAt | None], None],
    hook: str,
    epoch: int,
    batch: int,
) -> None:
    whole = run("whole", *EXACT)
    stopping(StopAt(hook, epoch, KeyboardInterrupt, batch))
    outcome = train(*small, *EXACT, "run_dir=part")
    assert outcome.status == 130
    assert "to continue: python -m mixvae.train resume=part" in outcome.err
    part = tmp_path / "part"
    assert read_json(part / "summary.json")["status"] == "interrupted"
    stopping(None)
    assert train("resume=part").status == 0
    assert (part / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert_same_state(checkpoint(part), checkpoint(whole))
    assert (part / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()
    timeless = [
        {
            key: value
            for key, value in read_json(folder / "summary.json").items()
            if key != "seconds"
        }
        for folder in (part, whole)
    ]
    assert timeless[0] == timeless[1]


def test_ctrl_c_ends_a_whole_sweep(
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    read_json: Read,
    stopping: Callable[[StopAt | None], None],
) -> None:
    stopping(StopAt("on_train_batch_end", 1, KeyboardInterrupt))
    assert train("-m", *small, "seed=0,1").status == 130
    (sweep,) = (tmp_path / "multirun" / "default").iterdir()
    assert read_json(sweep / "0" / "summary.json")["status"] == "interrupted"
    assert not (sweep / "1").exists()


def test_a_run_limited_in_steps_resumes_exactly(
    run: Make,
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    stopping: Callable[[StopAt | None], None],
) -> None:
    whole = run("whole", "trainer.max_steps=13", "trainer.max_epochs=-1")
    stopping(StopAt("on_train_batch_end", 1, KeyboardInterrupt, batch=2))
    train(*small, "trainer.max_steps=13", "trainer.max_epochs=-1", "run_dir=part")
    stopping(None)
    assert train("resume=part").status == 0
    part = tmp_path / "part"
    assert_same_state(checkpoint(part)["state_dict"], checkpoint(whole)["state_dict"])
    assert (part / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    refused = train("resume=whole", "trainer.max_epochs=99")
    assert refused.status == 1
    assert "it has made the 13 steps of its trainer.max_steps" in refused.err


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_what_is_logged_without_an_epoch_is_logged_once(
    run: Make,
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    stopping: Callable[[StopAt | None], None],
    interval: str,
) -> None:
    monitor = "lightning.pytorch.callbacks.LearningRateMonitor"
    settings = (f"+callbacks.lr._target_={monitor}", f"+callbacks.lr.logging_interval={interval}")
    whole = run("whole", *settings)
    stopping(StopAt("on_train_batch_end", 1, KeyboardInterrupt, batch=2))
    train(*small, *settings, "run_dir=part")
    stopping(None)
    assert train("resume=part").status == 0
    assert (tmp_path / "part" / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemError])
def test_an_older_run_without_metrics_csv_keeps_the_metrics_of_its_summary(
    run: Make,
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    read_json: Read,
    stopping: Callable[[StopAt | None], None],
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    whole = read_json(run("whole", "~logger") / "summary.json")
    stopping(StopAt("on_test_start", 2, error))
    if error is SystemError:  # stands for a kill, after which nothing more is written
        monkeypatch.setattr(fitting, "write_summary", lambda run, status: None)
    train(*small, "~logger", "run_dir=part")
    stopping(None)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part" / "metrics.csv").unlink()
    keep_curves_as_before(tmp_path / "part" / "checkpoints")
    assert train("resume=part").status == 0
    part = read_json(tmp_path / "part" / "summary.json")
    missing, *_ = part["warnings"]
    assert "metrics.csv is missing: metrics and learning curves of the first 2 epochs" in missing
    assert {**part, "seconds": 0, "warnings": []} == {**whole, "seconds": 0, "warnings": []}


def test_an_older_run_without_metrics_csv_is_evaluated_and_trained_further(
    run: Make, train: Train, read_json: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = run("a", "trainer.max_epochs=2")
    (folder / "metrics.csv").unlink()
    keep_curves_as_before(folder / "checkpoints")
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(["run=a"]) == 0
    assert train("resume=a", "trainer.max_epochs=3").status == 0
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "2", "3"]


def keep_curves_as_before(folder: Path) -> None:
    """Add to checkpoints the metrics that earlier versions kept in them."""
    for path in folder.glob("*.ckpt"):
        content = torch.load(path, weights_only=True)
        content["mixvae_learning_curves"] = {"val/loss": ([1], [0.5])}
        content["callbacks"]["Evaluation"]["terms"] = {"coupling": 2.0}
        torch.save(content, path)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("callbacks.checkpoints.every_n_epochs=9", "of which 0 are saved in part/checkpoints/last"),
        ("callbacks.checkpoints.every_n_epochs=2", "after 3 whole epochs, of which 2 are saved in"),
        ("seed=0", "interrupted after 3 whole epochs, saved in part/checkpoints/last.ckpt; to"),
        ("~callbacks.checkpoints", "after 3 whole epochs, none of them saved; to continue"),
    ],
)
def test_a_stopped_run_says_what_it_goes_on_from(
    train: Train,
    small: tuple[str, ...],
    stopping: Callable[[StopAt | None], None],
    override: str,
    told: str,
) -> None:
    stopping(StopAt("on_train_batch_end", 3, KeyboardInterrupt))
    outcome = train(*small, override, "trainer.max_epochs=4", "run_dir=part")
    assert told in outcome.err


EARLY = (
    "+callbacks.early._target_=lightning.pytorch.callbacks.EarlyStopping",
    "+callbacks.early.monitor=val/loss",
    "+callbacks.early.patience=1",
    "+callbacks.early.min_delta=1e9",
    "trainer.max_epochs=6",
)


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_run_that_ended_early_and_was_stopped_in_its_test_is_tested(
    run: Make,
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    read_json: Read,
    stopping: Callable[[StopAt | None], None],
    checkpoint: str,
) -> None:
    settings = (*EARLY, f"test_checkpoint={checkpoint}")
    whole = run("whole", *settings)
    assert read_json(whole / "summary.json")["epochs"] == 2
    stopping(StopAt("on_test_start", 2, KeyboardInterrupt))
    assert train(*small, *settings, "run_dir=part").status == 130
    stopping(None)
    part = tmp_path / "part"
    before = (part / "checkpoints" / "last.ckpt").read_bytes()
    assert train("resume=part").status == 0
    assert (part / "checkpoints" / "last.ckpt").read_bytes() == before
    assert (part / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    first, second = (read_json(folder / "summary.json") for folder in (part, whole))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    refused = train("resume=part", "trainer.max_epochs=6")
    assert refused.status == 1
    assert "asks for nothing: the training of run" in refused.err
    # More epochs are another matter.
    longer = train("resume=part", "trainer.max_epochs=3")
    assert longer.status == 0, longer.err
    assert read_json(part / "summary.json")["epochs"] == 3


def test_a_failed_run_can_be_resumed(
    run: Make,
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    stopping: Callable[[StopAt | None], None],
) -> None:
    whole = run("whole")
    stopping(StopAt("on_train_epoch_start", 1, OSError))
    assert train(*small, "run_dir=part").status == 1
    stopping(None)
    assert train("resume=part").status == 0
    assert_same_state(checkpoint(tmp_path / "part"), checkpoint(whole))


def test_the_command_that_goes_on_can_be_pasted(
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    stopping: Callable[[StopAt | None], None],
) -> None:
    stopping(StopAt("on_train_batch_end", 1, KeyboardInterrupt))
    told = train(*small, "run_dir='it s'").err
    stopping(None)
    (command,) = re.findall(r"to continue: python -m mixvae\.train (.*)", told)
    assert shlex.split(command) == ["resume=it s"]
    refused = train(*small, "run_dir='it s'").err
    assert refused.rstrip().endswith(shlex.quote(f"resume={tmp_path / 'it s'}"))
    assert train("resume='it s'").status == 0
    assert evaluate.main(["run='it s'"]) == 0


def test_a_moved_run_goes_on_where_it_is(
    run: Make,
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    stopping: Callable[[StopAt | None], None],
) -> None:
    whole = run("whole")
    stopping(StopAt("on_train_batch_end", 1, KeyboardInterrupt))
    train(*small, "run_dir=part")
    stopping(None)
    moved = tmp_path / "else" / "where"
    shutil.move(tmp_path / "part", moved)
    assert train(f"resume={moved}").status == 0
    assert_same_state(checkpoint(moved), checkpoint(whole))
    assert (moved / "checkpoints" / "best.ckpt").is_file()
    assert not (tmp_path / "part").exists()


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(
    run: Make, train: Train, tmp_path: Path, read_json: Read
) -> None:
    whole, part = run("whole"), run("part")
    shutil.rmtree(part / "checkpoints")
    summary = read_json(part / "summary.json")
    (part / "summary.json").write_text(json.dumps({**summary, "status": "running"}))
    assert train("resume=part").status == 0
    assert (part / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert_same_state(checkpoint(part), checkpoint(whole))


def test_a_finished_run_is_refused_and_can_be_extended(
    run: Make, train: Train, tmp_path: Path, read_json: Read
) -> None:
    longer, short = run("longer", "trainer.max_epochs=4"), run("short")
    refused = train("resume=short")
    assert refused.status != 0
    assert "is finished after 2 epochs" in refused.err
    assert "trainer.max_epochs=4" in refused.err
    assert train("resume=short", "trainer.max_epochs=4").status == 0
    assert_same_state(checkpoint(short), checkpoint(longer))
    assert (short / "metrics.csv").read_text() == (longer / "metrics.csv").read_text()
    assert yaml.safe_load((short / "config.yaml").read_text())["trainer"]["max_epochs"] == 4
    assert len(read_json(short / "provenance.json")["resumed"]) == 1
    again = train("resume=short", "trainer.max_epochs=3")
    assert again.status != 0
    assert "has already trained 4 epochs" in again.err


WRONG = {
    "missing": (("resume=none",), "there is no run folder"),
    "a file": (("resume=file",), "is a file, not a run folder"),
    "no run": (("resume=empty",), "is no run folder: it holds no config.yaml"),
    "other key": (("resume=empty", "seed=1"), "seed cannot be changed"),
    "several": (("-m", "resume=empty,none"), "leave out -m"),
    "nothing": (("resume=",), "resume needs the folder of a run"),
    "epochs": (("resume=empty", "trainer.max_epochs=many"), "must be a whole number"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_resumed(
    train: Train, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    outcome = train(*arguments)
    assert outcome.status != 0
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    assert list((tmp_path / "empty").iterdir()) == []


class Bomb:
    """What a pickle can do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def stopped(run: Make, read_json: Read) -> Path:
    """A run that can be resumed."""
    folder = run("stopped")
    summary = read_json(folder / "summary.json")
    (folder / "summary.json").write_text(json.dumps({**summary, "status": "interrupted"}))
    return folder


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_checkpoint_that_would_run_code_is_refused_and_not_run(
    stopped: Path, train: Train, tmp_path: Path, writer: str
) -> None:
    last, trace = stopped / "checkpoints" / "last.ckpt", tmp_path / "trace"
    bad = {"state_dict": {}, "epoch": 0, "bomb": Bomb(trace)}
    if writer == "torch":
        torch.save(bad, last)
    else:
        last.write_bytes(pickle.dumps(bad))
    outcome = train("resume=stopped")
    assert outcome.status != 0
    assert "last.ckpt" in outcome.err
    assert "names code that reading it would run" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not trace.exists()


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_truncated_checkpoint_is_refused(stopped: Path, train: Train, kept: int) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:kept])
    outcome = train("resume=stopped")
    assert outcome.status != 0
    assert "damaged or truncated" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_the_checkpoint_of_another_model_is_refused(stopped: Path, train: Train, run: Make) -> None:
    other = run("other", "model.num_agents=3")
    shutil.copy(other / "checkpoints" / "last.ckpt", stopped / "checkpoints" / "last.ckpt")
    before = (stopped / "metrics.csv").read_text()
    outcome = train("resume=stopped", "trainer.max_epochs=9")
    assert outcome.status != 0
    assert "is of another model" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert (stopped / "metrics.csv").read_text() == before


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (("data", "_target_"), "os.system", "data._target_ is 'os.system'"),
        (("callbacks", "progress", "_target_"), "builtins.eval", "builtins.eval"),
        (("seeed",), 1, "unknown key 'seeed'; did you mean 'seed'?"),
        (("seed",), "x", "seed"),
    ],
)
def test_a_config_that_was_tampered_with_is_refused(
    stopped: Path, train: Train, key: tuple[str, ...], value: Any, message: str
) -> None:
    config = yaml.safe_load((stopped / "config.yaml").read_text())
    node = config
    for part in key[:-1]:
        node = node[part]
    node[key[-1]] = value
    (stopped / "config.yaml").write_text(yaml.safe_dump(config))
    outcome = train("resume=stopped")
    assert outcome.status != 0
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
