"""Rounds of pruning within a run: the manifest, the selected weights, exact resuming, refusals."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mixvae.callbacks.pruning import Pruning
from mixvae.train import main
from tests.callbacks.interrupting import SMALL, Interrupted, assert_same, load

# Three agents that are aligned, copies that are drawn, a first measurement after two epochs, then
# three prunings of two epochs each.
PRUNED = (
    *SMALL,
    "callbacks=pruning",
    "model.num_agents=3",
    "model.num_categories=6",
    "model.coupling_weight=0.01",
    "model.align_epochs=[3]",
    "callbacks.pruning.round_epochs=2",
    "callbacks.pruning.max_rounds=3",
    "callbacks.pruning.min_consensus=1.0",
    "trainer.max_epochs=8",
    "~callbacks.predictions",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    assert main([*PRUNED, f"run_dir={folder}"]) == 0
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model_order.json").read_text())


def test_each_round_is_recorded_and_prunes_one(whole: Path) -> None:
    record = manifest(whole)
    rounds = record["rounds"]
    assert [one["num_categories"] for one in rounds] == [6, 5, 4, 3]
    assert [one["epoch"] for one in rounds] == [2, 4, 6, 8]
    assert [len(one["pruned"]) for one in rounds] == [1, 1, 1, 0]
    assert record["reason"] == "max_rounds"
    for one in rounds:
        assert one["min_consensus"] <= one["consensus"] <= 1
        assert one["populated_categories"] <= one["num_categories"]
    kept = load(whole)["state_dict"]["category_mask"]
    gone = {k for one in rounds for k in one["pruned"]}
    assert set((~kept).nonzero().flatten().tolist()) == gone
    with (whole / "model_order.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["num_categories"]) for row in table] == [6, 5, 4, 3]
    assert [int(row["selected"]) for row in table].count(1) == 1
    assert (whole / "figures" / "model_order.png").stat().st_size > 1000


def test_the_selected_weights_are_tested_and_are_those_of_their_round(whole: Path) -> None:
    record = manifest(whole)
    best = max(record["rounds"], key=lambda one: one["consensus"])
    assert record["threshold_met"] == (best["consensus"] >= 0.95)
    if not record["threshold_met"]:
        assert record["selected_order"] == best["num_categories"]
        assert "does not reach the threshold 0.95" in record["statement"]
        warnings = json.loads((whole / "summary.json").read_text())["warnings"]
        assert record["statement"] in warnings
    selected = load(whole, "selected")
    assert int(selected["state_dict"]["category_mask"].sum()) == record["selected_order"]
    assert selected["epoch"] + 1 == record["rounds"][record["selected_round"]]["epoch"]
    assert selected["optimizer_states"] == []
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["tested_checkpoint"] == record["checkpoint"] == "checkpoints/selected.ckpt"
    assert summary["test/kept_categories"] == record["selected_order"]
    assert summary["model_order/selected"] == record["selected_order"]
    verdict = json.loads((whole / "review.json").read_text())
    assert verdict["criteria"]["consensus"] == pytest.approx(summary["test/consensus"])
    met = record["threshold_met"] and summary["test/consensus"] >= 0.95
    assert verdict["verdict"] == ("accept" if met else "reject")
    # Losses over different K cannot be compared: the best is one of the last round.
    assert load(whole, "best")["epoch"] >= 6
    files = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert files == ["best.ckpt", "last.ckpt", "selected.ckpt"]


@pytest.mark.parametrize(
    ("hook", "epoch"),
    [
        ("on_train_batch_end", 3),
        pytest.param("on_train_epoch_end", 3, marks=pytest.mark.slow),
        pytest.param("on_train_epoch_start", 4, marks=pytest.mark.slow),
        pytest.param("on_validation_end", 5, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_within_a_round_ends_as_one_that_was_not(
    tmp_path: Path, whole: Path, interrupted: Interrupted, hook: str, epoch: int
) -> None:
    parts = tmp_path / "parts"
    assert interrupted(PRUNED, parts, hook, epoch) == 0
    assert manifest(parts) == manifest(whole)
    assert_same(whole, parts, "last", "selected")


def test_pruning_ends_where_all_agree_and_the_run_trains_no_further(
    tmp_path: Path, interrupted: Interrupted, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    enough = ("callbacks.pruning.min_consensus=0", "callbacks.pruning.threshold=0")
    assert interrupted((*PRUNED, *enough), folder, "on_test_start", 2) == 0
    record = manifest(folder)
    assert record["reason"] == "min_consensus"
    assert (record["selected_order"], record["threshold_met"]) == (6, True)
    assert load(folder)["epoch"] == 2
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"
    kept = (folder / "config.yaml").read_text()
    for more in ([], ["trainer.max_epochs=20"]):
        assert main([f"resume={folder}", *more]) == 1
        assert "its pruning ended after 2 epochs (min_consensus)" in capfd.readouterr().err
    assert (folder / "config.yaml").read_text() == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.max_epochs=6"], "max_epochs is 6, but pruning asks for 7: first_epochs .at lea"),
        (["callbacks.pruning.first_epochs=3"], "max_epochs is 8, but pruning asks for 9"),
        (["model.num_agents=1"], "model.num_agents to 2 or more, got 1"),
        (["model.num_categories=2"], "num_categories is 2, which leaves nothing to prune"),
        (["~callbacks.pruning"], "test_checkpoint is selected, but nothing selects"),
    ],
)
def test_what_cannot_be_pruned_is_refused_before_there_is_a_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    folder = tmp_path / "run"
    # What is left of a callback that is switched off may not be changed.
    own = "callbacks.pruning." if arguments[0].startswith("~") else "no override"
    small = [line for line in PRUNED if not line.startswith(own)]
    assert main([*small, *arguments, f"run_dir={folder}"]) == 1
    assert not folder.exists()
    assert re.search(message, capfd.readouterr().err)


def test_a_model_without_categories_is_refused(quiet_trainer: Callable[..., Any]) -> None:
    pruning = Pruning(".", round_epochs=1, max_rounds=1)
    with pytest.raises(ValueError, match="prunes the categories of a mixture, which Linear is not"):
        pruning.check(quiet_trainer(), torch.nn.Linear(1, 1), None)


def test_the_reachable_range_is_said_before_training(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    quick = ("callbacks.pruning.max_rounds=1", "callbacks.pruning.round_epochs=1")
    share = ("callbacks.pruning.num_per_round=0.5", "trainer.max_epochs=2")
    assert main([*PRUNED, *quick, *share, f"run_dir={folder}"]) == 0
    said = capfd.readouterr().err
    assert "pruning removes at most 3 categories of those left: measured after 1 epochs" in said
    assert said.index("pruning removes at most") < said.index("round 0 after epoch 1")
    assert [one["num_categories"] for one in manifest(folder)["rounds"]] == [6, 3]
