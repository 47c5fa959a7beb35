from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mixvae import evaluate
from mixvae.runs import fitting
from tests.stopping import StopAt, stopping

Make = Callable[..., Path]
Train = Callable[..., Any]
Read = Callable[[Path], dict[str, Any]]

# Noise for each agent, labels that are matched, and agents that are replaced: all that must be
# put back to be exact.
EXACT = (
    "augmenter=noise",
    "model.align_epochs=[2,3]",
    "model.best_agents=1",
    "model.information_weight=1.0",
    "trainer.max_epochs=4",
)
IN_EPOCH_2 = StopAt("on_train_batch_end", 1, batch=2)


@pytest.fixture
def until(train: Train, small: Sequence[str]) -> Train:
    """Train a small run into the folder `part` until it stops."""

    def command(stop: StopAt, *words: str, folder: str = "part") -> Any:
        with stopping(stop):
            return train(*small, *words, f"run_dir='{folder}'")

    return command


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "part"


@pytest.fixture
def stopped(run: Make, read_json: Read) -> Path:
    """A run that can be resumed."""
    folder = run("stopped")
    summary = read_json(folder / "summary.json")
    (folder / "summary.json").write_text(json.dumps({**summary, "status": "interrupted"}))
    return folder


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


def assert_same_tables(one: Path, other: Path) -> None:
    for name in ("metrics.csv", "predictions.csv"):
        assert (one / name).read_text() == (other / name).read_text(), name


def test_a_run_that_counts_steps_resumes_bit_for_bit_and_ends_at_max_steps(
    run: Make, train: Train, until: Train, part: Path
) -> None:
    # An epoch of 3 steps is less than a pass of 5; the schedules and alignments count it.
    steps = ("data.epoch_steps=3", "trainer.max_epochs=20", "trainer.max_steps=11")
    whole = run("whole", *EXACT[:2], *steps)
    assert until(StopAt("on_train_batch_end", 2, batch=1), *EXACT[:2], *steps).status == 130
    assert train("resume=part").status == 0
    assert_same_tables(part, whole)
    assert_same_state(checkpoint(part), checkpoint(whole))
    assert checkpoint(whole)["global_step"] == 11


MOMENTS = {
    "first epoch": StopAt("on_train_batch_end", 0, batch=2),
    "in an epoch": StopAt("on_train_batch_end", 2, batch=3),
    "epoch start": StopAt("on_train_epoch_start", 2),
    "validation start": StopAt("on_validation_start", 1),
    "validation end": StopAt("on_validation_end", 1),
    "epoch end": StopAt("on_train_epoch_end", 2),
    "last batch": StopAt("on_train_batch_end", 3, batch=4),
    "test": StopAt("on_test_start", 4),
    "failure": StopAt("on_train_epoch_start", 1, OSError),
}


OFTEN = ("in an epoch", "validation end", "test", "failure")


@pytest.mark.parametrize(
    "moment",
    [pytest.param(name, marks=[] if name in OFTEN else [pytest.mark.slow]) for name in MOMENTS],
)
def test_a_resumed_run_is_bit_for_bit_an_uninterrupted_one(
    run: Make, train: Train, until: Train, part: Path, read_json: Read, moment: str
) -> None:
    whole = run("whole", *EXACT)
    outcome = until(MOMENTS[moment], *EXACT)
    if moment == "failure":
        assert outcome.status == 1
    else:
        assert outcome.status == 130
        assert "to continue: python -m mixvae.train resume=part" in outcome.err
        assert read_json(part / "summary.json")["status"] == "interrupted"
    assert train("resume=part").status == 0
    assert_same_tables(part, whole)
    # Alignment uses the counts of the epoch before.
    assert checkpoint(whole)["state_dict"]["joint_counts"].any()
    assert_same_state(checkpoint(part), checkpoint(whole))
    summaries = [read_json(folder / "summary.json") for folder in (part, whole)]
    assert {**summaries[0], "seconds": 0} == {**summaries[1], "seconds": 0}


MONITOR = "+callbacks.lr._target_=lightning.pytorch.callbacks.LearningRateMonitor"
STEPS = ("trainer.max_steps=13", "trainer.max_epochs=-1")
# Schedules and centres of the baselines outlive a stop, and rows without an epoch come once.
SETTINGS = {
    "steps": STEPS,
    "rate of each epoch": (MONITOR, "+callbacks.lr.logging_interval=epoch"),
    "rate of each step": (MONITOR, "+callbacks.lr.logging_interval=step"),
    "joint_vae": (
        *("model=joint_vae", "trainer.max_epochs=3"),
        *("model.state_capacity_epochs=3", "model.category_capacity_epochs=2.5"),
    ),
    "cascade_vae": (
        *("model=cascade_vae", "trainer.max_epochs=3"),
        *("model.dimension_epochs=0.8", "model.category_after=1"),
    ),
    "beta_vae": ("model=beta_vae", "trainer.max_epochs=3"),
    "mix_vae": ("model=mix_vae", "augmenter=noise", "trainer.max_epochs=3"),
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(lines, id=name, marks=[pytest.mark.slow] if "model=" in lines[0] else [])
        for name, lines in SETTINGS.items()
    ],
)
def test_other_settings_and_models_resume_exactly(
    run: Make, train: Train, until: Train, part: Path, settings: tuple[str, ...]
) -> None:
    whole = run("whole", *settings)
    assert until(IN_EPOCH_2, *settings).status == 130
    assert train("resume=part").status == 0
    assert_same_tables(part, whole)
    assert_same_state(checkpoint(part)["state_dict"], checkpoint(whole)["state_dict"])


def test_a_run_of_so_many_steps_is_not_trained_longer(run: Make, train: Train) -> None:
    run("whole", *STEPS)
    refused = train("resume=whole", "trainer.max_epochs=99")
    assert refused.status == 1
    assert "it has made the 13 steps of its trainer.max_steps" in refused.err


def test_ctrl_c_ends_a_whole_sweep(
    train: Train, small: Sequence[str], tmp_path: Path, read_json: Read
) -> None:
    with stopping(IN_EPOCH_2):
        assert train("-m", *small, "seed=0,1").status == 130
    (sweep,) = (tmp_path / "multirun" / "default").iterdir()
    assert read_json(sweep / "0" / "summary.json")["status"] == "interrupted"
    assert not (sweep / "1").exists()


@pytest.mark.parametrize(
    "error", [pytest.param(KeyboardInterrupt, marks=pytest.mark.slow), SystemError]
)
def test_an_older_run_without_metrics_csv_keeps_the_metrics_of_its_summary(
    run: Make,
    train: Train,
    until: Train,
    part: Path,
    read_json: Read,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    whole = read_json(run("whole", "~logger") / "summary.json")
    with monkeypatch.context() as patch:
        if error is SystemError:  # stands for a kill, after which nothing more is written
            patch.setattr(fitting, "write_summary", lambda run, status: None)
        until(StopAt("on_test_start", 2, error), "~logger")
    (part / "metrics.csv").unlink()
    keep_curves_as_before(part / "checkpoints")
    assert train("resume=part").status == 0
    found = read_json(part / "summary.json")
    missing, *_ = found["warnings"]
    assert "metrics.csv is missing: metrics and learning curves of the first 2 epochs" in missing
    assert {**found, "seconds": 0, "warnings": []} == {**whole, "seconds": 0, "warnings": []}


def test_an_older_run_without_metrics_csv_is_evaluated_and_trained_further(
    run: Make, train: Train
) -> None:
    folder = run("a", "trainer.max_epochs=2")
    (folder / "metrics.csv").unlink()
    keep_curves_as_before(folder / "checkpoints")
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
def test_a_stopped_run_says_what_it_goes_on_from(until: Train, override: str, told: str) -> None:
    outcome = until(StopAt("on_train_batch_end", 3), override, "trainer.max_epochs=4")
    assert told in outcome.err


EARLY = (
    "+callbacks.early._target_=lightning.pytorch.callbacks.EarlyStopping",
    "+callbacks.early.monitor=val/loss",
    "+callbacks.early.patience=1",
    "+callbacks.early.min_delta=1e9",
    "trainer.max_epochs=6",
)


@pytest.mark.parametrize("checkpoint", ["best", pytest.param("last", marks=pytest.mark.slow)])
def test_a_run_that_ended_early_and_was_stopped_in_its_test_is_tested(
    run: Make, train: Train, until: Train, part: Path, read_json: Read, checkpoint: str
) -> None:
    settings = (*EARLY, f"test_checkpoint={checkpoint}")
    whole = run("whole", *settings)
    assert read_json(whole / "summary.json")["epochs"] == 2
    assert until(StopAt("on_test_start", 2), *settings).status == 130
    before = (part / "checkpoints" / "last.ckpt").read_bytes()
    assert train("resume=part").status == 0
    assert (part / "checkpoints" / "last.ckpt").read_bytes() == before
    assert_same_tables(part, whole)
    first, second = (read_json(folder / "summary.json") for folder in (part, whole))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    refused = train("resume=part", "trainer.max_epochs=6")
    assert refused.status == 1
    assert "asks for nothing: the training of run" in refused.err
    # More epochs are another matter.
    longer = train("resume=part", "trainer.max_epochs=3")
    assert longer.status == 0, longer.err
    assert read_json(part / "summary.json")["epochs"] == 3


class Terminate(BaseException):
    """Asks this process to end, as `kill` and schedulers do."""

    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_ends_a_test_at_once(until: Train, part: Path, read_json: Read) -> None:
    told = until(StopAt("on_test_start", 2, Terminate))
    assert told.status == 143
    assert "to continue: python -m mixvae.train resume=" in told.err
    assert read_json(part / "summary.json")["status"] == "interrupted"


def test_the_command_that_goes_on_can_be_pasted(
    train: Train, small: Sequence[str], until: Train, tmp_path: Path
) -> None:
    told = until(IN_EPOCH_2, folder="it s").err
    (command,) = re.findall(r"to continue: python -m mixvae\.train (.*)", told)
    assert shlex.split(command) == ["resume=it s"]
    refused = train(*small, "run_dir='it s'").err
    assert refused.rstrip().endswith(shlex.quote(f"resume={tmp_path / 'it s'}"))
    assert train("resume='it s'").status == 0
    assert evaluate.main(["run='it s'"]) == 0


def test_a_moved_run_goes_on_where_it_is(
    run: Make, train: Train, until: Train, part: Path, tmp_path: Path
) -> None:
    whole = run("whole")
    until(IN_EPOCH_2)
    moved = tmp_path / "else" / "where"
    shutil.move(part, moved)
    assert train(f"resume={moved}").status == 0
    assert_same_state(checkpoint(moved), checkpoint(whole))
    assert (moved / "checkpoints" / "best.ckpt").is_file()
    assert not part.exists()


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(
    run: Make, train: Train, stopped: Path
) -> None:
    whole = run("whole")
    shutil.rmtree(stopped / "checkpoints")
    assert train("resume=stopped").status == 0
    assert_same_tables(stopped, whole)
    assert_same_state(checkpoint(stopped), checkpoint(whole))


def test_a_finished_run_is_refused_and_can_be_extended(
    run: Make, train: Train, read_json: Read
) -> None:
    longer, short = run("longer", "trainer.max_epochs=4"), run("short")
    refused = train("resume=short")
    assert refused.status != 0
    assert "is finished after 2 epochs" in refused.err
    assert "trainer.max_epochs=4" in refused.err
    assert train("resume=short", "trainer.max_epochs=4").status == 0
    assert_same_state(checkpoint(short), checkpoint(longer))
    assert_same_tables(short, longer)
    assert yaml.safe_load((short / "config.yaml").read_text())["trainer"]["max_epochs"] == 4
    assert len(read_json(short / "provenance.json")["resumed"]) == 1
    again = train("resume=short", "trainer.max_epochs=3")
    assert again.status != 0
    assert "has already trained 4 epochs" in again.err


def test_an_empty_checkpoint_is_refused(stopped: Path, train: Train) -> None:
    (stopped / "checkpoints" / "last.ckpt").write_bytes(b"")
    outcome = train("resume=stopped")
    assert outcome.status != 0
    assert "damaged or truncated" in outcome.err


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("seeed", 1, "unknown key 'seeed'; did you mean 'seed'?"), ("seed", "x", "seed")],
)
def test_a_config_that_was_edited_wrongly_is_refused(
    stopped: Path, train: Train, key: str, value: Any, message: str
) -> None:
    config = yaml.safe_load((stopped / "config.yaml").read_text())
    (stopped / "config.yaml").write_text(yaml.safe_dump({**config, key: value}))
    outcome = train("resume=stopped")
    assert outcome.status != 0
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_config_that_was_edited_is_warned_of(stopped: Path, train: Train) -> None:
    file = stopped / "config.yaml"
    file.write_text(re.sub("^seed: .*", "seed: 7", file.read_text(), flags=re.MULTILINE))
    outcome = train("resume=stopped")
    assert outcome.status == 0
    assert "config.yaml was edited since the run began" in outcome.err
    again = train("resume=stopped", "trainer.max_epochs=3")  # the config is the run's own by now
    assert "was edited" not in again.err


def test_a_run_in_a_folder_that_takes_nothing_is_refused_at_once(
    stopped: Path, train: Train, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*")}
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != stopped)
    refused = train("resume=stopped")
    assert refused.status == 1
    assert f"error: run {stopped} is not writable; use a copy of its folder" in refused.err
    assert evaluate.main(["run=stopped"]) == 1
    assert "stopped is not writable" in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in stopped.rglob("*")} == before
