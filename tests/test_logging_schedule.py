from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mixvae.files import read_metrics
from mixvae.logging_schedule import is_logged
from mixvae.train import main


@pytest.mark.parametrize(
    ("every", "limit", "logged"),
    [(1, 4, [0, 1, 2, 3]), (None, 3, [0, 1, 2]), (2, 5, [1, 3, 4]), (9, 4, [3]), (2, -1, [1, 3])],
)
def test_training_is_logged_as_often_as_validation_and_in_the_last_epoch(
    every: int | None, limit: int, logged: list[int]
) -> None:
    trainer = SimpleNamespace(check_val_every_n_epoch=every, max_epochs=limit, current_epoch=0)
    epochs = range(limit if limit > 0 else 4)
    assert [epoch for epoch in epochs if is_logged(trainer, epoch)] == logged


def test_a_run_that_validates_seldom_logs_the_means_of_those_epochs(tmp_path: Path) -> None:
    rows = {}
    for every in (1, 2):
        run = tmp_path / str(every)
        words = ["+experiment=digits_mix_vae", "trainer.max_epochs=5", "num_threads=1"]
        words += [f"trainer.check_val_every_n_epoch={every}", f"run_dir={run}", "logger=csv"]
        assert main([*words, "~callbacks.figures"]) == 0
        found = read_metrics(run / "metrics.csv")
        rows[every] = {
            row["epoch"]: row["train/loss"] for row in found if row.get("train/loss", "") != ""
        }
    assert list(rows[2]) == ["1", "3", "4"]
    assert rows[2] == {epoch: rows[1][epoch] for epoch in rows[2]}
