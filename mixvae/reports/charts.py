"""Interactive charts of a run, as the data and layout that plotly.js draws."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.figures.plane import find_plane
from mixvae.reports.record import Record
from mixvae.spacing import spaced

# Okabe and Ito's colours, which colour-blind readers tell apart; more groups repeat them with
# another marker.
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#7F7F7F",
)  # fmt: skip
MARKERS = ("circle", "x", "diamond", "square", "triangle-up", "cross")
MOST_POINTS = 4000
MOST_GROUPS = 48
MOST_PANELS = 12
# Metrics that share a chart: its title, the end of their names, and the unit of the axis.
PANELS = (
    ("Loss", ("loss",), "nats"),
    ("Reconstruction", ("reconstruction",), "nats"),
    ("KL divergence", ("kl",), "nats"),
    ("Agreement and accuracy", ("consensus", "accuracy", "nmi", "ari"), ""),
    ("Probe and coherence", ("probe_accuracy", "coherence"), ""),
    ("Entropy of q(c|x)", ("entropy",), "nats"),
    ("Populated categories", ("populated_categories", "num_categories"), ""),
)


@dataclass(frozen=True)
class Chart:
    """A chart, and a sentence that says what it shows to readers who cannot see it."""

    title: str
    text: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]

    @property
    def axes(self) -> int:
        """The number of parallel axes; 0 for a chart in a plane."""
        return len(self.data[0].get("dimensions", ()))


def learning_curves(record: Record) -> list[Chart]:
    """A chart for each kind of metric that training logged, over epochs from 1."""
    charts: list[Chart] = []
    found = phases(record)
    marks, spoken = (
        _marks(found),
        "".join(
            f" ({i}) Epoch {epoch}: {words}."
            for i, (epoch, words) in enumerate(found.items(), start=1)
        ),
    )
    for title, ends, unit in PANELS:
        names = [
            name
            for name in record.curves
            if name.startswith(("train/", "val/")) and name.split("/", 1)[1] in ends
        ]
        if not names:
            continue
        data = [
            {
                **{"type": "scatter", "mode": "lines", "name": name},
                **{"x": record.curves[name][0], "y": finite(record.curves[name][1])},
                "line": {
                    "dash": "solid" if name.startswith("val/") else "dot",
                    "color": COLOURS[i % len(COLOURS)],
                },
            }
            for i, name in enumerate(names)
        ]
        ends_at = "; ".join(f"{name} ends at {record.curves[name][1][-1]:.4g}" for name in names)
        values = [value for name in names for value in _settled(record.curves[name][1])]
        axis: dict[str, Any] = {"title": {"text": unit}}
        if values:
            margin = 0.05 * (max(values) - min(values)) or 1.0
            axis["range"] = [min(values) - margin, max(values) + margin]
        layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": axis, **marks}
        told = "" if charts else spoken  # once is enough
        charts.append(Chart(title, f"{title} over epochs: {ends_at}.{told}", data, layout))
    return charts


def phases(record: Record) -> dict[int, str]:
    """What changed at which epoch that was trained: schedules, alignments, merging, prunings."""
    found: dict[int, list[str]] = {}
    model = record.config.get("model")
    for key, value in model.items() if isinstance(model, dict) else ():
        if isinstance(value, dict) and "begin" in value and "length" in value:
            begin, length = (_epoch(value[name]) for name in ("begin", "length"))
            if begin is not None and length is not None:
                found.setdefault(begin, []).append(f"{key} begins to change")
                found.setdefault(begin + length, []).append(f"{key} settles")
        elif key == "align_epochs" and isinstance(value, list):
            for epoch in filter(None, map(_epoch, value)):
                found.setdefault(epoch, []).append("agents aligned")
    merging = (record.config.get("callbacks") or {}).get("merging")
    if isinstance(merging, dict) and (at := _epoch(merging.get("after_epochs"))) is not None:
        found.setdefault(at, []).append("categories merged")
    for entry in record.order.get("rounds") or ():
        if isinstance(entry, dict) and entry.get("pruned"):
            at = _epoch(entry.get("epoch"))
            if at is not None:
                found.setdefault(at, []).append("category pruned")
    reached = max((max(epochs) for epochs, _ in record.curves.values() if epochs), default=0)
    trained = [epoch for epoch in sorted(found) if epoch <= reached]
    return {epoch: ", ".join(found[epoch]) for epoch in trained[:MOST_PANELS]}


def _epoch(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _marks(found: dict[int, str]) -> dict[str, Any]:
    """Lines at the epochs, numbered; the names are in the hover of the numbers and the caption."""
    style = {"type": "line", "yref": "paper", "y0": 0, "y1": 1}
    shapes = [
        {**style, "x0": e, "x1": e, "line": {"dash": "dash", "width": 1, "color": "#7F7F7F"}}
        for e in found
    ]
    notes = [
        {
            # Above the curves, in two heights, since neighbours may be an epoch apart.
            **{"x": e, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 12 * (i % 2)},
            "showarrow": False,
            **{"text": str(i + 1), "hovertext": html.escape(f"epoch {e}: {words}")},
        }
        for i, (e, words) in enumerate(found.items())
    ]
    return {"shapes": shapes, "annotations": notes} if found else {}


def embeddings(record: Record) -> list[Chart]:
    """Samples in a plane: of a mixture by its categories, else each modality's latents."""
    arrays = record.arrays
    if {"probs", "consensus", "state_mean"} <= set(arrays):
        return _of_mixture(arrays)
    charts = []
    names = [name.rpartition("/")[0] for name in arrays if name.endswith("/mean")]
    for name in names[:MOST_PANELS]:
        mean = arrays[f"{name}/mean"]
        if mean.ndim != 2 or len(mean) < 2:
            continue
        label = arrays.get(f"{name}/label", np.full(len(mean), -1))
        classes = _class_names(arrays)
        words = [classes.get(int(y), _label(y)) if np.ndim(y) == 0 else str(y) for y in label]
        row = arrays.get(f"{name}/row", np.arange(len(mean)))
        hover = [f"row {r}<br>label {html.escape(w)}" for r, w in zip(row, words, strict=True)]
        title = f"Latents of {name}"
        charts.append(
            _scatter(title, find_plane(mean, "latent").points, np.array(words), hover, "label")
        )
    return charts


def _of_mixture(arrays: dict[str, NDArray[Any]]) -> list[Chart]:
    """The plane of categories by category and, where they tell samples apart, by other groups."""
    points, consensus = category_plane(arrays["probs"], arrays["state_mean"]), arrays["consensus"]
    classes, agents = _class_names(arrays), len(arrays["category"])
    words = [
        classes.get(int(y), _label(int(y))) if np.ndim(y) == 0 else str(y)
        for y in arrays.get("label", np.full(len(points), -1))
    ]
    agreement = (arrays["category"] == consensus).sum(axis=0)
    groups = {
        "label": np.array(words),
        "batch": arrays.get("batch", np.full(len(points), "")),
        "agreement": np.array([f"{n} of {agents} agents" for n in agreement]),
    }
    told = {name: group for name, group in groups.items() if len(np.unique(group)) > 1}
    samples = arrays.get("cell", arrays["index"])
    pairs = zip(samples, consensus, strict=True)
    hover = [f"sample {html.escape(str(i))}<br>category {c}" for i, c in pairs]
    for name, group in told.items():
        hover = [f"{h}<br>{name} {html.escape(str(g))}" for h, g in zip(hover, group, strict=True)]
    charts = [_scatter("Samples by category", points, consensus, hover, "category")]
    return charts + [_scatter(f"Samples by {n}", points, g, hover, n) for n, g in told.items()]


def confusion(record: Record) -> list[Chart]:
    """How the categories of the agents' vote and the labels share the samples."""
    arrays = record.arrays
    if not {"consensus", "label"} <= set(arrays) or arrays["label"].ndim != 1:
        return []
    known = arrays["label"] >= 0
    if not known.any():
        return []
    categories, row = np.unique(arrays["consensus"][known], return_inverse=True)
    labels, column = np.unique(arrays["label"][known], return_inverse=True)
    names = _class_names(arrays)
    table = np.zeros((len(categories), len(labels)), dtype=int)
    np.add.at(table, (row, column), 1)
    data = {
        **{"type": "heatmap", "z": table.tolist(), "colorscale": "Cividis"},
        "colorbar": {"title": {"text": "samples"}},
        **{"x": [html.escape(names.get(y, f"label {y}")) for y in labels.tolist()]},
        "y": [f"category {c}" for c in categories],
    }
    text = f"Samples by category ({len(categories)}) and label ({len(labels)})."
    x = {"type": "category", "title": {"text": "label"}}
    layout = {"xaxis": x, "yaxis": {"type": "category"}}
    return [Chart("Categories and labels", text, [data], layout)]


def category_plane(
    probs: NDArray[np.floating[Any]], state: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Place samples around a circle of categories, shape (N, 2).

    A sample lies in the mean of the categories' directions by its probabilities. The first agent's
    first state moves it along the direction, the second one across it.

    Args:
        probs: q(c|x), shape (A, N, K).
        state: State means, shape (A, N, S).
    """
    mean = probs.mean(axis=0).astype(np.float64)
    used = np.flatnonzero(np.bincount(mean.argmax(axis=1), minlength=mean.shape[1]))
    angle = 2 * np.pi * np.arange(len(used)) / len(used)
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    centre = mean[:, used] @ directions
    along, across = (
        np.tanh(0.5 * state[0, :, s]) if s < state.shape[2] else np.zeros(len(centre))
        for s in (0, 1)
    )
    turned = np.stack([-centre[:, 1], centre[:, 0]], axis=1)
    width = np.pi / max(len(used), 3)
    place: NDArray[np.float64] = (
        centre * (1 + 0.4 * along[:, None]) + 0.6 * width * across[:, None] * turned
    )
    return place


def _scatter(
    title: str, points: NDArray[np.float64], group: NDArray[Any], hover: Sequence[str], word: str
) -> Chart:
    shown = spaced(len(points), MOST_POINTS)
    names, size = np.unique(group[shown], return_counts=True)
    largest = set(names[np.argsort(-size, kind="stable")][:MOST_GROUPS].tolist())
    data = []
    for i, name in enumerate(names.tolist()):
        place = shown[group[shown] == name]
        style = {"color": COLOURS[i % len(COLOURS)], "size": 5, "opacity": 0.75}
        style["symbol"] = MARKERS[i // len(COLOURS) % len(MARKERS)]
        label = html.escape(str(name)) if isinstance(name, str) else f"{word} {_label(name)}"
        data.append(
            {
                **{"type": "scatter", "mode": "markers", "name": label, "marker": style},
                **{"x": _rounded(points[place, 0]), "y": _rounded(points[place, 1])},
                **{"text": [hover[i] for i in place], "hoverinfo": "text"},
                "showlegend": name in largest,
            }
        )
    text = f"{title}: {len(points)} samples in {len(names)} groups."
    if len(shown) < len(points):
        text += f" {len(shown)} of them are drawn, evenly spread."
    layout = {"xaxis": {"visible": False}, "yaxis": {"visible": False, "scaleanchor": "x"}}
    return Chart(title, text, data, layout)


def _class_names(arrays: dict[str, NDArray[Any]]) -> dict[int, str]:
    return {i: str(name) for i, name in enumerate(arrays.get("class_names", np.array([], str)))}


def _label(value: Any) -> str:
    return "unknown" if isinstance(value, int | np.integer) and value < 0 else str(value)


def finite(values: Iterable[float]) -> list[float | None]:
    """Values as JSON has them: None for those that are infinite or NaN."""
    return [value if np.isfinite(value) else None for value in values]


def _settled(values: Sequence[float]) -> list[float]:
    """Finite values without the first tenth, whose size would hide all later ones."""
    return [value for value in values[len(values) // 10 :] if np.isfinite(value)]


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in values]
