from __future__ import annotations

import html
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mixvae.messages import inform
from mixvae.runs.recording import listening

Make = Callable[..., Path]
Train = Callable[..., Any]
Read = Callable[[Path], dict[str, Any]]


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    path = folder / "checkpoints" / f"{name}.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_folder_holds_what_a_person_needs(run: Make, read_json: Read) -> None:
    folder = run("a", "tags=[try,small]", "seed=3")
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.yaml",
        "overrides.txt",
        "provenance.json",
        "metrics.csv",
        "summary.json",
        "checkpoints",
        "predictions.csv",
        "predictions.npz",
    }
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    summary = read_json(folder / "summary.json")
    assert summary["status"] == "finished"
    assert summary["epochs"] == 2
    assert summary["seed"] == 3
    assert summary["num_parameters"] > 0
    assert summary["data_sizes"]
    assert summary["tested_checkpoint"] == "checkpoints/best.ckpt"
    for name in ("accuracy", "nmi", "ari", "consensus", "populated_categories", "entropy"):
        assert isinstance(summary[f"test/{name}"], float)
    assert {"test/reconstruction", "test/accuracy/agent0", "val/loss", "train/loss"} <= set(summary)
    provenance = read_json(folder / "provenance.json")
    assert provenance["versions"]["torch"] == torch.__version__
    assert "git_commit" in provenance
    assert "seed=3" in (folder / "overrides.txt").read_text().splitlines()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["seed"] == 3
    assert config["tags"] == ["try", "small"]


def test_the_summary_holds_the_last_metrics_under_their_logged_names(
    run: Make, read_json: Read
) -> None:
    folder = run("a")
    lines = (folder / "metrics.csv").read_text().splitlines()
    columns = lines[0].split(",")
    assert len(lines) == 1 + 2 + 1  # header, epochs, test
    summary = read_json(folder / "summary.json")
    last_epoch = dict(zip(columns, lines[2].split(","), strict=True))
    test = dict(zip(columns, lines[3].split(","), strict=True))
    assert float(last_epoch["val/loss"]) == summary["val/loss"]
    assert float(last_epoch["train/loss"]) == summary["train/loss"]
    assert float(test["test/accuracy"]) == summary["test/accuracy"]


def test_the_same_seed_gives_the_same_numbers(run: Make) -> None:
    one, other = (run(name, fresh=True) for name in "ab")
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    assert same_weights(one, other)
    assert not same_weights(one, run("c", "tags=[try,small]", "seed=3"))


def test_the_default_folder_is_named_after_experiment_and_time(
    train: Train, small: tuple[str, ...], tmp_path: Path
) -> None:
    for _ in range(2):
        assert train(*small, "name=mine", "trainer.max_epochs=1").status == 0
    folders = list((tmp_path / "runs" / "mine").iterdir())
    assert len(folders) == 2
    assert all((folder / "summary.json").is_file() for folder in folders)


def test_what_a_finished_run_prints(train: Train, small: tuple[str, ...]) -> None:
    outcome = train(*small, "run_dir=a")
    lines = outcome.out.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["1/2", "2/2"]
    assert "run folder     a" in lines
    assert any(line.startswith("test/accuracy  0.") for line in lines)
    assert any(re.fullmatch(r"types found +\d+ of 10 categories are in use", one) for one in lines)
    (advice,) = (line for line in lines if line.startswith("next "))
    assert advice.endswith("python -m mixvae.train +experiment=images_cpl data.path=YOUR_IMAGES")
    assert "YOUR_IMAGES" in train("+experiment=images_cpl", "data.path=YOUR_IMAGES").err
    assert re.search(r"train/loss \S+  val/loss \S+  reconstruction \S+  kl \S+", lines[0])


def test_without_validation_the_last_weights_are_tested(run: Make, read_json: Read) -> None:
    folder = run("a", "trainer.limit_val_batches=0")
    summary = read_json(folder / "summary.json")
    assert summary["tested_checkpoint"] is None
    assert "test/accuracy" in summary


# Also where the run is shorter than a schedule of the model.
@pytest.mark.parametrize("model", ["cpl_mixvae", "joint_vae"])
def test_a_fast_dev_run_works(train: Train, small: tuple[str, ...], model: str) -> None:
    outcome = train(*small, f"model={model}", "run_dir=a", "trainer.fast_dev_run=true")
    assert outcome.status == 0, outcome.err


def test_a_loss_that_becomes_nan_stops_and_keeps_the_last_good_checkpoint(
    train: Train, small: tuple[str, ...], tmp_path: Path, read_json: Read
) -> None:
    outcome = train(*small, "model.optimizer.lr=1e30", "run_dir=a", "report=true")
    assert outcome.status == 1
    assert "the loss became NaN or infinite at step 1 in the term" in outcome.err
    assert "Traceback" not in outcome.err
    summary = read_json(tmp_path / "a" / "summary.json")
    assert summary["status"] == "failed"
    assert summary["error"].startswith("the loss became NaN or infinite at step 1 in the term")
    assert html.escape(summary["error"]) in (tmp_path / "a/report.html").read_text()
    kept = weights(tmp_path / "a")
    assert all(value.isfinite().all() for value in kept.values())


def test_a_metric_to_monitor_that_is_not_logged(train: Train, small: tuple[str, ...]) -> None:
    outcome = train(*small, "callbacks.checkpoints.monitor=val/los", "run_dir=a")
    assert outcome.status == 1
    assert "monitor is 'val/los', which is not logged" in outcome.err
    assert "val/loss" in outcome.err


def test_an_objective_that_is_not_logged(
    train: Train, small: tuple[str, ...], tmp_path: Path, read_json: Read
) -> None:
    outcome = train(*small, "objective=val/los", "run_dir=a")
    assert outcome.status == 1
    assert "objective is 'val/los', which is not logged; did you mean 'val/loss'?" in outcome.err
    outcome = train(*small, "objective=test/los", "run_dir=b")
    assert outcome.status == 0
    warnings = read_json(tmp_path / "b" / "summary.json")["warnings"]
    assert any(line.startswith("objective is 'test/los', which is not") for line in warnings)


def test_a_run_whose_time_is_over_says_so_and_is_not_trained_longer(
    train: Train, small: tuple[str, ...], tmp_path: Path, read_json: Read
) -> None:
    outcome = train(*small, "trainer.max_epochs=999", "trainer.max_time=00:00:00:01", "run_dir=a")
    assert outcome.status == 0
    summary = (tmp_path / "a" / "summary.json").read_text()
    warnings = read_json(tmp_path / "a" / "summary.json")["warnings"]
    assert any("of 999 epochs: trainer.max_time 00:00:00:01 is over" in line for line in warnings)
    outcome = train("resume=a", "trainer.max_epochs=9999")
    assert outcome.status != 0
    assert "cannot be trained longer: its trainer.max_time 00:00:00:01 is over" in outcome.err
    assert (tmp_path / "a" / "summary.json").read_text() == summary


def test_a_run_can_be_repeated_from_its_config(run: Make, train: Train, tmp_path: Path) -> None:
    folder = run("a", "seed=5", "augmenter=noise")
    before = {path.name for path in tmp_path.iterdir()}
    outcome = train("--config-dir", "a", "--config-name", "config", "run_dir=b")
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "b" / "metrics.csv").read_text() == (folder / "metrics.csv").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {*before, "b"}
    wrong = train("--config-dir", "a", "--config-name", "config", "model.tua=1", "run_dir=c")
    assert "did you mean 'model.tau'?" in wrong.err
    assert train("--config-dir", "none", "--config-name", "config").status != 0


BARE = {
    "no callbacks": ("~callbacks.figures", "~callbacks"),
    "no loggers": ("logger=csv", "~logger"),
    "no epochs": ("trainer.max_epochs=2", "trainer.max_epochs=0"),
    "no test": ("", "trainer.limit_test_batches=0"),
    "steps": ("", "trainer.max_steps=7"),
}


@pytest.mark.parametrize(("instead_of", "override"), BARE.values(), ids=BARE.keys())
def test_runs_with_less_than_usual_end_well(
    train: Train,
    small: tuple[str, ...],
    tmp_path: Path,
    read_json: Read,
    instead_of: str,
    override: str,
) -> None:
    kept = [line for line in small if line != instead_of]
    outcome = train(*kept, override, "run_dir=a")
    assert outcome.status == 0, outcome.err
    assert read_json(tmp_path / "a" / "summary.json")["status"] == "finished"


def test_a_report_that_cannot_be_drawn_costs_a_warning_and_no_result(
    train: Callable[..., Any],
    small: tuple[str, ...],
    tmp_path: Path,
    read_json: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Path) -> None:
        raise ModuleNotFoundError("No module named 'plotly'")

    monkeypatch.setattr("mixvae.reports.page.write_run_report", refuse)
    outcome = train(*small, "trainer.max_epochs=1", "run_dir=a", "report=true")
    assert outcome.status == 0, outcome.err
    assert "the report was not written (No module named 'plotly')" in outcome.err
    assert read_json(tmp_path / "a" / "summary.json")["status"] == "finished"


def test_a_caller_that_prints_what_is_logged_reads_it_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(theirs)
    try:
        with listening([]):
            inform("said once")
    finally:
        logging.getLogger().removeHandler(theirs)
    with listening([]):
        inform("and again")
    assert capsys.readouterr().err == "said once\nINFO: and again\n"
