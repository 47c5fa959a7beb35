"""One verdict on a run of a mixture model, for programs that take its categories further."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MIN_CONSENSUS = 0.85  # where the run itself names no threshold
ALONE = "merging/agreement"  # as callbacks.merging logs it


def review(
    metrics: Mapping[str, float],
    order: Mapping[str, Any],
    states: Iterable[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Accept or reject the categories of a run by what was measured on held-out samples.

    A run is rejected if its agents do not agree, or did not before they were coupled, if there is
    only one agent, if fewer than two categories are in use, or if the categories have collapsed.
    States that carry nothing, may be two types or are made by a few samples are noted; they say
    nothing against the categories.

    Args:
        metrics: `test/...`, see `evaluation.mixture`; and `ALONE`, the share of training samples
            on which two agents agreed before they were coupled, of a run with merging. After a
            pruning it counts no more.
        order: The content of model_order.json; empty for runs without pruning.
        states: The rows of states.csv; none for data without it.
    """
    threshold = float(order.get("threshold", MIN_CONSENSUS))
    consensus = metrics.get("test/consensus")
    populated = metrics.get("test/populated_categories")
    alone = None if order else metrics.get(ALONE)
    reasons = []
    if not metrics:
        reasons.append("the run was not tested")
    elif consensus is None:
        reasons.append("one agent alone: no agreement between agents was measured")
    elif not consensus >= threshold:
        reasons.append(f"held-out consensus {consensus:.3f} is below {threshold:g}")
    if alone is not None and alone < threshold:
        reasons.append(
            f"before they were coupled, the agents agreed on {alone:.3f} of the training samples,"
            f" which is below {threshold:g}"
        )
    if order and not order.get("threshold_met", True):
        reasons.append(f"no model order reached the mean consensus {threshold:g} in training")
    if populated is not None and populated < 2:
        reasons.append(f"{populated:.0f} category is in use; there is nothing to tell apart")
    if metrics.get("test/collapse_warning"):
        reasons.append("the categories have collapsed, see the warnings of summary.json")
    notes = [
        {"category": int(row["category"]), "state": int(row["state"]), "finding": row["finding"]}
        for row in states
        if row.get("finding")
    ]
    return {
        "verdict": "reject" if reasons else "accept",
        "reasons": reasons,
        "criteria": {
            "min_consensus": threshold,
            "consensus": consensus,
            "agreement_before_coupling": alone,
            "populated_categories": populated,
            "kept_categories": metrics.get("test/kept_categories"),
        },
        "states": notes,
    }
