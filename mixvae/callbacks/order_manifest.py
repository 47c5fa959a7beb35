"""The record of a model-order search in the run folder: `model_order.json` and `.csv`."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from mixvae.evaluation.model_order import ModelOrder, Round
from mixvae.files import replacing

REASONS = {
    "min_consensus": "every kept category has the consensus asked for",
    "max_rounds": "all rounds are done",
    "two_categories": "no more than two categories may be left",
    None: "the search has not come to its end",
}


def describe(order: ModelOrder, threshold: float, reason: str | None) -> str:
    """Say in one sentence which model order was selected and why pruning ended.

    Args:
        order: What was selected.
        threshold: Mean consensus asked for.
        reason: Why pruning ended, a key of `REASONS`.
    """
    selected = order.selected
    met = "reaches" if order.threshold_met else "is the best, but does not reach"
    ended = "pruning ended because " if reason is not None else ""
    return (
        f"model order {selected.num_categories} (round {selected.number}): mean consensus"
        f" {selected.consensus:.3f} {met} the threshold {threshold:g}; {ended}{REASONS[reason]}"
    )


def write_manifest(
    dirpath: Path,
    rounds: Sequence[Round],
    order: ModelOrder,
    threshold: float,
    reason: str | None,
) -> None:
    """Write both files, each whole or not at all.

    Args:
        dirpath: Folder to write into.
        rounds: What was measured, in order.
        order: What was selected.
        threshold: Mean consensus asked for.
        reason: Why pruning ended, a key of `REASONS`.
    """
    manifest = {
        "statement": describe(order, threshold, reason),
        "selected_order": order.selected.num_categories,
        "selected_round": order.selected.number,
        "threshold": threshold,
        "threshold_met": order.threshold_met,
        "reason": reason,
        "checkpoint": "checkpoints/selected.ckpt",
        "rounds": [one._asdict() for one in rounds],
    }
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    with replacing(dirpath / "model_order.json") as temporary:
        temporary.write_text(text, encoding="utf-8")
    path = dirpath / "model_order.csv"
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*Round._fields, "selected"])
        for one in rounds:
            cells = one._replace(pruned=" ".join(map(str, one.pruned)))  # type: ignore[arg-type]
            writer.writerow([*cells, int(one.number == order.selected.number)])
