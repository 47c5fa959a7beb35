"""Merging within a run: it happens once, is recorded, survives an interruption; refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixvae.callbacks.merging import Merging
from mixvae.evaluate import main as evaluate
from mixvae.train import main
from tests.callbacks.interrupting import SMALL, Interrupted, assert_same, load

MERGED = (
    *SMALL,
    "callbacks=merging",
    "callbacks.merging.after_epochs=2",
    "callbacks.merging.num_categories=4",
    "model.num_categories=8",
    "trainer.max_epochs=4",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    assert main([*MERGED, f"run_dir={folder}"]) == 0
    return folder


def test_a_run_merges_once_and_ends_with_the_categories_asked_for(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["test/kept_categories"] == 4
    alone = json.loads((whole / "review.json").read_text())["criteria"]["agreement_before_coupling"]
    assert 0 < alone == summary["merging/agreement"] < 1
    assert any("before they are coupled" in line for line in summary["warnings"])
    assert evaluate([f"run={whole}"]) == 0
    again = json.loads((whole / "review.json").read_text())["criteria"]
    assert again["agreement_before_coupling"] == alone
    state = load(whole)["state_dict"]
    assert state["category_mask"].tolist() == [True] * 4 + [False] * 4
    assert state["merged_into"].max() == 3
    # Losses over different numbers of categories cannot be compared: the best is a merged one.
    best = load(whole, "best")
    assert best["epoch"] >= 2
    assert best["state_dict"]["category_mask"].sum() == 4


MOMENTS = {
    "just before it": ("on_train_epoch_end", 1, 0),
    "just after it": ("on_train_epoch_end", 1, None),
    "before it is saved": ("on_train_epoch_start", 2, 0),
}
# Merging into five after an epoch, a measurement after two, then two prunings of an epoch each.
PRUNED = (
    "callbacks=pruning_cells",
    "callbacks.merging.after_epochs=1",
    "callbacks.merging.num_categories=5",
    "callbacks.pruning.round_epochs=1",
    "callbacks.pruning.max_rounds=2",
    "callbacks.pruning.min_consensus=1.0",
)
EARLY = (
    *SMALL,
    "callbacks=pruning_cells",
    "model.num_categories=8",
    "trainer.max_epochs=30",
    "callbacks.merging.after_epochs=20",
)


@pytest.mark.parametrize(
    ("hook", "epoch", "place"),
    [
        pytest.param(*moment, id=name, marks=[pytest.mark.slow] if "saved" in name else [])
        for name, moment in MOMENTS.items()
    ],
)
def test_a_run_killed_about_its_merging_ends_as_one_that_was_not(
    tmp_path: Path,
    whole: Path,
    interrupted: Interrupted,
    hook: str,
    epoch: int,
    place: int | None,
) -> None:
    assert interrupted(MERGED, tmp_path / "parts", hook, epoch, place) == 0
    assert_same(whole, tmp_path / "parts", "last", "best")


@pytest.mark.slow
@pytest.mark.parametrize(("hook", "epoch"), [("on_train_batch_end", 3), ("on_train_epoch_end", 2)])
def test_a_run_killed_in_a_round_of_pruning_after_its_merging(
    tmp_path: Path, interrupted: Interrupted, hook: str, epoch: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = (*SMALL, "model.num_categories=8", "trainer.max_epochs=4", *PRUNED)
    assert main([*options, f"run_dir={whole}"]) == 0
    record = json.loads((whole / "model_order.json").read_text())
    assert [one["num_categories"] for one in record["rounds"]] == [5, 4, 3]
    assert interrupted(options, parts, hook, epoch) == 0
    assert_same(whole, parts, "last", "selected")
    assert json.loads((parts / "model_order.json").read_text()) == record


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*MERGED, "callbacks.merging.num_categories=9"), "is 9, but the model has 8 only"),
        (
            (
                *MERGED,
                "callbacks.merging.num_categories=null",
                "model.num_agents=1",
            ),
            "by the agents' agreement, but model.num_agents is 1",
        ),
        ((*MERGED, "callbacks.merging.after_epochs=4"), "is 4 and so is trainer.max_epochs"),
        ((*MERGED, "callbacks.merging.max_valley=1.5"), "max_valley must lie between 0 and 1"),
        (EARLY, "is 20, but pruning begins after 10 epochs already"),
    ],
)
def test_what_cannot_be_merged_is_refused(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, f"run_dir={tmp_path / 'run'}"]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_whether_it_is_over_is_part_of_the_checkpoint() -> None:
    first, second = Merging(after_epochs=2), Merging(after_epochs=2)
    first._done = True
    second.load_state_dict(first.state_dict())
    assert second._done
