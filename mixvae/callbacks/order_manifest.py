"""The record of a model-order search in the run folder: `model_order.json` and `.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixvae.evaluation.model_order import ModelOrder, Round
from mixvae.files import write_json, write_table

REASONS = {
    "min_consensus": "every kept category has min_consensus by the pairs of agents that count"
    " (callbacks.pruning.quantile)",
    "max_rounds": "all rounds are done",
    "two_categories": "no more than two categories may be left",
    None: "the search has not come to its end",
}


def describe(order: ModelOrder, threshold: float, reason: str | None) -> str:
    """Return one sentence that names the selected model order and why pruning ended.

    Args:
        threshold: Mean consensus asked for.
        reason: A key of `REASONS`.
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
    """Write both files; see `describe` for the arguments."""
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
    write_json(dirpath / "model_order.json", manifest)
    cells = [{**one._asdict(), "pruned": " ".join(map(str, one.pruned))} for one in rounds]
    lines = [[*one.values(), int(one["number"] == order.selected.number)] for one in cells]
    write_table(dirpath / "model_order.csv", [*Round._fields, "selected"], lines)
