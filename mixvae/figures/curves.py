"""Learning curves: the metrics of a run over its epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mixvae.figures.style import COLOURS, FAINT, LINE_STYLES, legend_below, new_figure, tidy

Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""For each metric, such as `val/entropy`, the epochs trained, from 1, and its values."""


def training_curves(rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[list[int], list[float]]]:
    """Return the finite values of each `train/...` and `val/...` metric over the epochs trained.

    Args:
        rows: Rows of a metrics.csv, see `files.read_metrics`. Of several values in an epoch the
            last counts; the row of a test, which may have values of the validation split, is
            skipped.
    """
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if not row["epoch"] or any(name.startswith("test/") for name in row):
            continue
        for name, cell in row.items():
            if name.startswith(("train/", "val/")) and math.isfinite(float(cell)):
                found.setdefault(name, {})[int(row["epoch"]) + 1] = float(cell)
    return {name: (list(values), list(values.values())) for name, values in found.items()}


class _Panel(NamedTuple):
    title: str
    unit: str
    names: tuple[str, ...]
    level: tuple[str, float] | None = None
    from_zero: bool = False
    signed_log: bool = False
    band: str = ""  # the metric whose values of single agents are shown as a band


def _mixture_panels(curves: Curves, num_categories: int) -> list[_Panel]:
    kept = curves.get("val/kept_categories", ((), ()))[1]
    # Without pruning, the level K is the number of kept categories.
    pruned = ("val/kept_categories",) if min(kept, default=num_categories) < num_categories else ()
    panels = [
        _Panel("Loss", "nats per sample", ("train/loss", "val/loss")),
        _Panel(
            "Reconstruction, -log p(x|s, c)",
            "nats per sample",
            ("train/reconstruction", "val/reconstruction"),
        ),
        _Panel("KL of the states to N(0, I)", "nats per sample", ("train/kl", "val/kl")),
        _Panel(
            "Entropy of q(c|x)",
            "nats per sample",
            ("train/entropy", "val/entropy"),
            level=(f"log {num_categories}", math.log(num_categories)),
        ),
        _Panel(
            "Consensus vote against labels",
            "score",
            ("val/accuracy", "val/nmi", "val/ari"),
            from_zero=True,
            band="val/accuracy",
        ),
        _Panel(
            "Consensus of the agents",
            "consensus",
            ("val/consensus", "val/populated_consensus", "val/min_consensus"),
            from_zero=True,
        ),
        _Panel(
            "Populated categories",
            "categories",
            ("val/populated_categories", *pruned),
            level=(f"K = {num_categories}", num_categories),
            from_zero=True,
        ),
    ]
    return _with_others(panels, curves)


def _multimodal_panels(curves: Curves) -> list[_Panel]:
    modalities = sorted(
        name for name in curves if name.startswith("val/reconstruction/") and name.count("/") == 2
    )
    panels = [
        _Panel("Loss", "nats per event", ("train/loss", "val/loss")),
        _Panel(
            "Reconstruction in the objective",
            "nats per event",
            ("train/reconstruction", "val/objective_reconstruction"),
        ),
        _Panel("Reconstruction of each modality, val", "nats per sample", tuple(modalities)),
        _Panel("Imputation of one from another, val", "nats per sample", ("val/imputation",)),
        # These differ in some models: one term against the whole, a draw against a bound. In one
        # panel the difference would read as a gap between training and validation.
        _Panel("Divergence, unweighted, train", "nats per event", ("train/kl",)),
        _Panel("Regulariser before beta, val", "nats per event", ("val/kl",)),
    ]
    return _with_others(panels, curves, "nats per event")


def _augmenter_panels(curves: Curves) -> list[_Panel]:
    distances = ("copy_distance", "copy_spread", "reconstruction_distance", "neighbour_distance")
    panels = [
        _Panel("Loss", "nats per sample", ("train/loss", "val/loss")),
        _Panel(
            "Reconstruction, -log p(x|z)",
            "nats per sample",
            ("train/reconstruction", "val/reconstruction"),
        ),
        _Panel("KL of the latents to N(0, I)", "nats per sample", ("train/kl", "val/kl")),
        _Panel("Distances", "units of the data", tuple(f"val/{name}" for name in distances)),
        _Panel(
            "Samples told from copies",
            "accuracy",
            ("val/discriminator_accuracy",),
            level=("chance", 0.5),
            from_zero=True,
        ),
        _Panel("Length of shifts over the radius", "ratio", ("val/shift_ratio",), ("wanted", 1.0)),
    ]
    return _with_others(panels, curves)


def _with_others(
    panels: list[_Panel], curves: Curves, unit: str = "nats per sample"
) -> list[_Panel]:
    """Add a panel of the training terms not yet shown, and drop panels without metrics."""
    shown = {name for panel in panels for name in panel.names}
    rest = sorted(name for name in curves if name.startswith("train/") and name not in shown)
    # Unweighted terms differ by orders of magnitude.
    others = _Panel("Other terms, unweighted", unit, tuple(rest), signed_log=True)
    return [panel for panel in [*panels, others] if any(name in curves for name in panel.names)]


def learning_curves(curves: Curves, num_categories: int) -> Figure:
    """Draw the objective, its terms and the measures of a mixture model over epochs.

    Metrics without a panel are not drawn, and a panel without its metrics is left out.
    """
    return _draw(_mixture_panels(curves, num_categories), curves)


def multimodal_learning_curves(curves: Curves) -> Figure:
    """Draw those of a multimodal model, see `learning_curves`."""
    return _draw(_multimodal_panels(curves), curves)


def augmenter_learning_curves(curves: Curves) -> Figure:
    """Draw those of a learned augmenter, see `learning_curves`."""
    return _draw(_augmenter_panels(curves), curves)


def _draw(panels: Sequence[_Panel], curves: Curves) -> Figure:
    if not panels:
        raise ValueError(
            f"no learning curve to draw: got {sorted(curves)}, expected metrics such as val/loss"
        )
    num_columns = min(4, math.ceil(math.sqrt(len(panels))) + 1, len(panels))
    num_rows = math.ceil(len(panels) / num_columns)
    figure = new_figure(3.4 * num_columns, 3.2 * num_rows)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(num_rows, num_columns, number + 1)
        _draw_panel(axes, panel, curves)
    return figure


def _draw_panel(axes: Axes, panel: _Panel, curves: Curves) -> None:
    # The lines of one quantity in two splits are named by the split.
    _draw_band(axes, panel, curves)
    splits = {name.partition("/")[0] for name in panel.names}
    is_one_quantity = len(panel.names) > 1 and len(splits) == len(panel.names)
    for number, name in enumerate(panel.names):
        if name not in curves:
            continue
        epochs, values = curves[name]
        split, _, measure = name.partition("/")
        axes.plot(
            epochs,
            values,
            color=COLOURS[number % len(COLOURS)],
            linestyle=LINE_STYLES[number // len(COLOURS) % len(LINE_STYLES)],
            linewidth=1.4,
            marker="o" if len(epochs) <= 25 else "",
            markersize=3,
            label=split if is_one_quantity else measure.rpartition("/")[2].replace("_", " "),
        )
    if panel.level is not None:
        label, value = panel.level
        axes.axhline(value, color=FAINT, linewidth=1, linestyle="--", label=label)
    if panel.from_zero:
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.02, axes.get_ylim()[1]))
    else:
        _leave_out_start(axes, panel, curves)
    largest = max((abs(v) for n in panel.names if n in curves for v in curves[n][1]), default=0.0)
    spans = panel.signed_log and largest > 100
    if spans:
        axes.set_yscale("symlog", linthresh=1.0)
    if spans or largest >= 1e4:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))  # an exponent would meet the title
    tidy(axes, panel.title, x="epochs trained", y=panel.unit)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
    legend_below(axes, bbox_to_anchor=(0.5, -0.24))


def _draw_band(axes: Axes, panel: _Panel, curves: Curves) -> None:
    """Shade from the least to the largest value of single agents, where there are several."""
    agents = [values for name, values in curves.items() if name.startswith(f"{panel.band}/agent")]
    if not panel.band or len(agents) < 2:
        return
    epochs = agents[0][0]
    if any(list(own) != list(epochs) for own, _ in agents):
        return
    values = np.array([values for _, values in agents])
    measure = panel.band.rpartition("/")[2]
    axes.fill_between(
        epochs,
        values.min(axis=0),
        values.max(axis=0),
        color=COLOURS[0],
        alpha=0.2,
        linewidth=0,
        label=f"{measure} of {len(agents)} agents",
    )


def _leave_out_start(axes: Axes, panel: _Panel, curves: Curves) -> None:
    """Fit the axis to what follows the first tenth, if that start is ten times as wide."""
    shown = [list(curves[name][1]) for name in panel.names if name in curves]
    every = [value for values in shown for value in values]
    settled = [value for values in shown for value in values[math.ceil(len(values) / 10) :]]
    short = max(map(len, shown), default=0) < 10
    if short or panel.signed_log or not settled or panel.level is not None:
        return
    wide, narrow = max(every) - min(every), max(settled) - min(settled)
    if narrow > 0 and wide > 10 * narrow:
        axes.set_ylim(min(settled) - 0.05 * narrow, max(settled) + 0.05 * narrow)
