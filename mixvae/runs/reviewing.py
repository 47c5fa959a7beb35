"""Writes the verdict on a finished run, `review.json`."""

from __future__ import annotations

from collections.abc import Mapping

from mixvae.evaluation.review import ALONE, review
from mixvae.files import read_json, read_table, write_json
from mixvae.runs.folder import RunFolder


def write_review(folder: RunFolder, metrics: Mapping[str, float]) -> None:
    """Write the verdict on a run by the metrics of its test; only mixtures have one."""
    if "test/kept_categories" not in metrics:
        return
    path = folder.path
    tested = {name: value for name, value in metrics.items() if name.startswith("test/")}
    known = {**folder.read_summary(), **metrics}  # an evaluation measures the test only
    if ALONE in known:
        tested[ALONE] = known[ALONE]
    write_json(
        folder.review,
        review(tested, read_json(path / "model_order.json"), read_table(path / "states.csv")),
    )


def doubts(folder: RunFolder) -> str:
    """Why a run should not be relied on: the reasons of its verdict, or ''."""
    content = read_json(folder.review)
    if content.get("verdict") == "reject":
        return "; ".join(map(str, content.get("reasons", ())))
    order = read_json(folder.path / "model_order.json")
    if not content and order.get("threshold_met") is False:
        return str(order.get("statement", "its consensus is below the threshold"))
    return ""
