"""Writes the verdict on a finished run, `review.json`."""

from __future__ import annotations

import csv

from mixvae.contracts import MixtureModel
from mixvae.evaluation.review import review
from mixvae.files import read_json, write_json
from mixvae.runs.folder import RunFolder
from mixvae.runs.recording import Run


def write_review(run: Run) -> None:
    """Write the verdict on a run of a mixture model."""
    if not isinstance(run.parts.model, MixtureModel):
        return
    path = run.folder.path
    states = []
    if (path / "states.csv").is_file():
        with (path / "states.csv").open(newline="", encoding="utf-8") as file:
            states = list(csv.DictReader(file))
    metrics = {name: value for name, value in run.metrics.items() if name.startswith("test/")}
    write_json(run.folder.review, review(metrics, read_json(path / "model_order.json"), states))


def doubts(folder: RunFolder) -> str:
    """Why a run should not be relied on: the reasons of its verdict, or ''."""
    content = read_json(folder.review)
    if content.get("verdict") == "reject":
        return "; ".join(map(str, content.get("reasons", ())))
    order = read_json(folder.path / "model_order.json")
    if not content and order.get("threshold_met") is False:
        return str(order.get("statement", "its consensus is below the threshold"))
    return ""
