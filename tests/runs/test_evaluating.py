from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mixvae.data import DigitsDataModule
from mixvae.evaluate import main

Make = Callable[..., Path]
Read = Callable[[Path], dict[str, Any]]


@pytest.fixture
def evaluate(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def command(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main(list(arguments))
        return status, *capfd.readouterr()

    return command


Evaluate = Callable[..., tuple[int, str, str]]
# `best` is then the worst epoch, the first one, and differs from `last`.
WORST = "callbacks.checkpoints.mode=max"


def of_test(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name.startswith("test/")}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_training_and_evaluation_give_the_same_metrics(
    run: Make, evaluate: Evaluate, read_json: Read, checkpoint: str
) -> None:
    folder = run("a", f"test_checkpoint={checkpoint}", WORST)
    trained = of_test(read_json(folder / "summary.json"))
    status, out, _ = evaluate("run=a")
    assert status == 0
    assert of_test(read_json(folder / "evaluation.json")) == trained
    assert len(trained) >= 15
    assert "the same as in training" in out


def test_evaluation_makes_predictions_and_figures_again_and_touches_nothing_else(
    train: Callable[..., Any], small: tuple[str, ...], tmp_path: Path, evaluate: Evaluate
) -> None:
    with_figures = [line for line in small if "figures" not in line]
    few = ("trainer.max_epochs=1", "model.state_dim=1")
    assert train(*with_figures, *few, "run_dir=a").status == 0
    before = contents(tmp_path / "a")
    made = [name for name in before if name.startswith(("figures/", "predictions", "review"))]
    assert any(name.endswith(".png") for name in made)
    for name in made:
        (tmp_path / "a" / name).unlink()
    status, out, _ = evaluate("run=a")
    assert status == 0
    after = contents(tmp_path / "a")
    assert set(after) == {*before, "evaluation.json"}
    kept = [name for name in before if not name.endswith((".png", ".npz"))]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert f"a/figures ({sum(name.endswith('.png') for name in made)})" in out


def test_other_data_go_to_a_folder_of_their_own(
    run: Make, evaluate: Evaluate, read_json: Read
) -> None:
    folder = run("a")
    before = contents(folder)
    status, out, _ = evaluate("run=a", "data.eval_batch_size=100")
    assert status == 0
    made = folder / "evaluations" / "data.eval_batch_size=100"
    assert (made / "predictions.csv").is_file()
    assert "the same as in training" not in out
    assert {name: contents(folder)[name] for name in before} == before
    assert evaluate("run=a", "data=digits", "name=again")[0] == 0
    again = read_json(folder / "evaluations" / "again" / "evaluation.json")
    assert of_test(again) == of_test(read_json(folder / "summary.json"))


@pytest.mark.parametrize("split", ["val", "train"])
def test_another_split_is_tested_and_said_to_be(
    run: Make, evaluate: Evaluate, read_json: Read, split: str
) -> None:
    folder = run("a")
    status, _, err = evaluate("run=a", f"data.predict_split={split}", "name=other")
    assert status == 0
    assert f"test/... are measures of the {split} split" in err
    data = DigitsDataModule(seed=read_json(folder / "summary.json")["seed"])
    data.setup()
    rows = torch.cat([batch.index for batch in data.eval_dataloader(split)]).tolist()
    with (folder / "evaluations" / "other" / "predictions.csv").open() as file:
        table = list(csv.DictReader(file))
    assert sorted(int(line["index"]) for line in table) == sorted(rows)
    right = match_accuracy(table)
    found = read_json(folder / "evaluations" / "other" / "evaluation.json")
    assert found["tested_split"] == split
    assert found["test/accuracy"] == pytest.approx(right, abs=1e-6)


def match_accuracy(table: list[dict[str, str]]) -> float:
    """Accuracy of the vote after the best one-to-one matching with labels."""
    counts = np.zeros((10, 10))
    for line in table:
        counts[int(line["consensus"]), int(line["label"])] += 1
    return float(counts[linear_sum_assignment(-counts)].sum() / len(table))


@pytest.mark.parametrize(
    "change",
    ["trainer.limit_test_batches=1", "trainer.precision=64-true", "+trainer.fast_dev_run=true"],
)
def test_what_changes_results_goes_to_a_folder_of_its_own(
    run: Make, evaluate: Evaluate, change: str
) -> None:
    folder = run("a")
    before = contents(folder)
    assert evaluate("run=a", change)[0] == 0
    assert {name: contents(folder)[name] for name in before} == before
    (made,) = (folder / "evaluations").iterdir()
    assert (made / "predictions.csv").is_file()


def test_another_machine_tests_what_the_run_tested(
    run: Make, evaluate: Evaluate, read_json: Read
) -> None:
    settings = ("trainer=ddp_cpu", "trainer.devices=1", "trainer.limit_test_batches=1")
    folder = run("a", *settings, "data.eval_batch_size=100")
    before = contents(folder)
    status, out, _ = evaluate("run=a", "trainer=cpu")
    assert status == 0
    assert "the same as in training" in out
    assert of_test(read_json(folder / "evaluation.json")) == of_test(
        read_json(folder / "summary.json")
    )
    assert contents(folder)["predictions.csv"] == before["predictions.csv"]


def test_another_checkpoint_goes_to_a_folder_of_its_own(run: Make, evaluate: Evaluate) -> None:
    folder = run("a")
    assert evaluate("run=a", "checkpoint=last")[0] == 0
    assert (folder / "evaluations" / "last" / "evaluation.json").is_file()
    assert not (folder / "evaluation.json").exists()
    assert evaluate("run=a", "checkpoint=best")[0] == 0
    assert (folder / "evaluation.json").is_file()


def test_best_and_last_differ_here(run: Make) -> None:
    """Else the tests above would prove less than they say."""
    folder = run("a", WORST) / "checkpoints"
    best, last = (
        torch.load(folder / f"{name}.ckpt", weights_only=True)["state_dict"]
        for name in ("best", "last")
    )
    assert any(not torch.equal(best[name], last[name]) for name in best)
