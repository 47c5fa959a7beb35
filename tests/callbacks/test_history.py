"""Curves are kept by epoch and read back from the logger's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixvae.callbacks.history import Curves, add_point, last_epoch, read_metrics_csv


def test_an_epoch_seen_again_replaces_what_came_after() -> None:
    curves: Curves = {}
    for epoch, value in [(1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25)]:
        add_point(curves, "val/nmi", epoch, value)
    assert curves == {"val/nmi": ([1, 2], [0.1, 0.25])}
    assert last_epoch(curves) == 2
    assert last_epoch({}) == 0


def test_the_logger_s_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(
        "epoch,step,train/loss,val/nmi\n0,9,,0.1\n0,9,5.5,\n1,19,,0.2\n1,19,4.5,\n1,19,nan,\n"
    )
    assert read_metrics_csv(path) == {
        "train/loss": ([1, 2], [5.5, 4.5]),
        "val/nmi": ([1, 2], [0.1, 0.2]),
    }


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"metrics.csv: it has no column named epoch"):
        read_metrics_csv(path)
    path.write_text("")
    with pytest.raises(ValueError, match="no column named epoch"):
        read_metrics_csv(path)
