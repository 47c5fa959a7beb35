from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from mixvae.engine.csv_logger import CsvLogger
from mixvae.files import last_values, read_metrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_metrics_of_one_step_share_a_row_and_columns_grow(path: Path) -> None:
    logger = CsvLogger(str(path))
    logger.log_metrics({"epoch": 0, "val/loss": 2.5}, step=4)
    logger.log_metrics({"epoch": 0, "train/loss": 3.0}, step=4)
    logger.log_metrics({"epoch": 1, "val/loss": 1.5}, step=9)
    logger.log_metrics({"epoch": 1, "train/loss": 2.0}, step=9)
    logger.log_metrics({"epoch": 2, "test/a,b": 1.0}, step=10)
    assert table(path) == [
        ["epoch", "step", "val/loss", "train/loss", "test/a,b"],
        ["0", "4", "2.5", "3", ""],
        ["1", "9", "1.5", "2", ""],
        ["2", "10", "", "", "1"],
    ]


def test_the_file_is_complete_after_every_call(path: Path) -> None:
    logger = CsvLogger(str(path))
    for epoch in range(3):
        for name in ("a", "b", "c"):
            logger.log_metrics({"epoch": epoch, name: float(epoch)}, step=epoch)
            assert read_metrics(path)[-1][name] == str(epoch)
            assert len(read_metrics(path)) == epoch + 1


def test_numbers_come_back_exactly(path: Path) -> None:
    values = [0.1 + 0.2, 1e-300, -1 / 3, 123456789.123456789, 5e-324, math.inf]
    logger = CsvLogger(str(path))
    logger.log_metrics({"epoch": 0, **{str(i): value for i, value in enumerate(values)}}, step=0)
    assert list(last_values(read_metrics(path)).values()) == values
    logger.log_metrics({"epoch": 1, "loss": math.nan}, step=1)
    assert math.isnan(last_values(read_metrics(path))["loss"])


def test_a_second_logger_continues_the_file(path: Path) -> None:
    once, twice = path, path.with_name("twice.csv")
    rows = [({"epoch": e, "a": e / 3, **({"b": 1.0} if e > 1 else {})}, e) for e in range(4)]
    logger = CsvLogger(str(once))
    for metrics, step in rows:
        logger.log_metrics(metrics, step)
    for metrics, step in rows:
        CsvLogger(str(twice)).log_metrics(metrics, step)
    assert twice.read_text() == once.read_text()


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_rows_are_dropped_from_an_epoch_on(path: Path, epoch: int) -> None:
    def log(logger: CsvLogger, epochs: range) -> None:
        for e in epochs:
            logger.log_metrics({"epoch": e, "a": e / 7}, step=e)
            logger.log_metrics({"epoch": e, "b": e / 9}, step=e)

    log(CsvLogger(str(path)), range(3))
    whole = path.read_text()
    logger = CsvLogger(str(path))
    logger.drop_from(epoch, epoch)
    log(logger, range(epoch, 3))
    assert path.read_text() == whole


def test_rows_without_an_epoch_are_dropped_by_their_step(path: Path) -> None:
    logger = CsvLogger(str(path))
    for epoch in range(3):
        logger.log_metrics({"rate": 0.1}, step=5 * epoch)
        logger.log_metrics({"epoch": epoch, "a": 1.5}, step=5 * epoch + 4)
    logger.log_metrics({"note": 1.0})
    logger.drop_from(1, 5)
    kept = [(row["epoch"], row["step"]) for row in read_metrics(path)]
    assert kept == [("", "0"), ("0", "4"), ("", "")]


def test_a_line_that_a_kill_left_half_written_is_passed_over(path: Path) -> None:
    logger = CsvLogger(str(path))
    for epoch in range(2):
        logger.log_metrics({"epoch": epoch, "a": 1.5, "b": 2.5}, step=epoch)
    whole = path.read_text()
    path.write_text(whole[: whole.rindex("1.5")])
    assert len(read_metrics(path)) == 1
    logger = CsvLogger(str(path))
    logger.drop_from(1, 1)
    logger.log_metrics({"epoch": 1, "a": 1.5, "b": 2.5}, step=1)
    assert path.read_text() == whole


def test_no_file_until_something_is_logged(path: Path) -> None:
    logger = CsvLogger(str(path))
    logger.log_hyperparams({"a": 1})
    logger.save()
    logger.finalize("success")
    assert not path.exists()
    assert read_metrics(path) == []
    logger.drop_from(0, 0)
    assert not path.exists()
