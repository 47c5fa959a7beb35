"""The style of all figures: size, colours for colour-blind readers, colour maps."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imsave
from numpy.typing import NDArray

# Okabe & Ito 2008, without yellow, which is too pale for a line on white; black comes last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")  # for more lines than colours
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
INK = "#333333"
FAINT = "#999999"
MAX_NUMBERED = 20
MARGIN = 0.1  # of white around a picture, inches

STYLES: dict[str, dict[str, Any]] = {
    "screen": {},
    # Letters that fit LaTeX's, kept as text in vector copies so that they can be edited.
    "paper": {
        "font.family": "STIXGeneral",
        "mathtext.fontset": "stix",
        "axes.linewidth": 0.6,
        "savefig.dpi": 300,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
    },
}


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Draw and save figures in one of `STYLES`, whose texts are names: `$` begins no formula."""
    settings: Any = {"text.parse_math": False, **STYLES[name]}  # matplotlib types every key
    with matplotlib.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure that draws itself without a display or global state."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure without the white around it, but for a tenth of an inch.

    `savefig` draws twice to find that margin. Here it does so only where a title or legend is wider
    than its figure, which must grow.
    """
    dpi = matplotlib.rcParams["savefig.dpi"]
    figure.set_dpi(figure.dpi if dpi == "figure" else dpi)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    used, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    if min(used.x0, used.y0, width - used.x1, height - used.y1) < 0:
        figure.savefig(path, bbox_inches="tight", pad_inches=MARGIN)
        return
    ends = (height - used.y1, height - used.y0), (used.x0, used.x1)
    rows, columns = (
        slice(max(0, round(figure.dpi * (low - MARGIN))), round(figure.dpi * (high + MARGIN)))
        for low, high in ends
    )
    imsave(path, np.asarray(canvas.buffer_rgba())[rows, columns], dpi=figure.dpi)


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Label axes, and remove the upper and right spines."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)


def look(number: int) -> dict[str, Any]:
    """Colour and marker of a group of points by its number; faint below 0."""
    if number < 0:
        return {"color": FAINT, "marker": "o"}
    marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
    return {"color": COLOURS[number % len(COLOURS)], "marker": marker}


def add_colour_bar(figure: Figure, image: AxesImage, axes: Axes | list[Axes], label: str) -> None:
    """Draw the colour bar of a heat map beside it."""
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)


def label_ticks(axes: Axes, rows: list[str], columns: list[str]) -> None:
    """Label the rows and columns of a heat map, every n-th if there are too many to read."""
    for axis, names in ((axes.yaxis, rows), (axes.xaxis, columns)):
        every = int(np.ceil(len(names) / 40))
        axis.set_ticks(range(0, len(names), every), names[::every])
    longest = max((len(name) for name in columns), default=0)
    axes.tick_params(axis="x", rotation=90 if longest > 3 else 0)


def write_numbers(axes: Axes, values: NDArray[Any], texts: NDArray[np.str_], middle: float) -> None:
    """Write a text into each cell of a heat map, in an ink that contrasts with the cell.

    Args:
        axes: Axes that show `values` in a map from dark (low) to light (high).
        values: Values shown, shape (rows, columns).
        texts: Texts, same shape.
        middle: Value from which cells count as light.
    """
    size = float(np.clip(90 / max(values.shape), 4, 8))
    for (row, column), text in np.ndenumerate(texts):
        ink = "black" if values[row, column] >= middle else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=ink)


def wrapped(name: str, letters: int) -> str:
    """Break a name into lines, between words and after underscores."""
    lines = textwrap.wrap(name.replace("_", "_ "), letters)
    return "\n".join(line.replace("_ ", "_") for line in lines)


def value_limits(
    values: NDArray[Any], value_range: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Ends of a colour scale: the range, or the 1st and 99th percentile of what is not NaN."""
    if value_range is not None:
        return value_range
    if np.isnan(values).all():
        return 0.0, 1.0
    low, high = np.nanpercentile(values, [1, 99])
    return float(low), float(max(high, low + 1e-6))


def legend_beside(axes: Axes, **options: Any) -> None:
    """Draw the legend to the right of the axes."""
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), **options)


def legend_below(axes: Axes, **options: Any) -> None:
    """Draw the legend under the axes, where it lies on no curve."""
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22), "ncols": 2, **options}
    axes.legend(fontsize=7, frameon=False, **place)


def legend_under_figure(figure: Figure, axes: Axes, **options: Any) -> None:
    """Draw the legend of axes under the whole figure, whatever its height."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize=7, frameon=False, **options)


def with_gaps(name: str) -> Colormap:
    """Return a colour map that shows cells without a value in light grey."""
    return matplotlib.colormaps[name].with_extremes(bad="#E8E8E8")
