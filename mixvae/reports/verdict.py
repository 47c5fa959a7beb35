"""One sentence that says how a run went, from its summary."""

from __future__ import annotations

from mixvae.reports.record import Record

STATUS = {
    "running": "This run has not ended, or was killed.",
    "interrupted": "This run was interrupted.",
    "failed": "This run failed.",
    "pruned": "A search pruned this run.",
    "unknown": "The status of this run is unknown: it has no summary.",
}


def verdict(record: Record) -> str:
    """Return what became of the run and its main results; labels count as measuring only."""
    words = [STATUS[record.status]] if record.status in STATUS else []
    accepted = record.review.get("verdict")
    if isinstance(accepted, str):
        words.append(f"Review: {accepted}.")
    if record.family == "mixture":
        words.append(_of_mixture(record))
    elif record.family == "modalities":
        words.append(_of_modalities(record))
    return " ".join(word for word in words if word) or "No result was measured."


def _of_mixture(record: Record) -> str:
    order, count = record.order.get("selected"), record.number("test/populated_categories")
    number = order if isinstance(order, int) else count
    parts = [] if number is None else [f"{number:.0f} categories"]
    consensus, accuracy = record.number("test/consensus"), record.number("test/accuracy")
    ari = record.number("test/ari")
    if consensus is not None:
        parts.append(f"the agents agree with a consensus of {consensus:.3f}")
    if accuracy is not None:
        parts.append(f"accuracy {accuracy:.3f} against the labels")
    if ari is not None:
        parts.append(f"ARI {ari:.3f}")
    return _sentence(parts)


def _of_modalities(record: Record) -> str:
    names = {
        "test/reconstruction": "reconstruction {:.4g} nats",
        "test/probe_accuracy": "probe accuracy {:.3f}",
        "test/coherence": "coherence {:.3f}",
    }
    values = {name: record.number(name) for name in names}
    return _sentence([names[n].format(v) for n, v in values.items() if v is not None])


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if text else ""
