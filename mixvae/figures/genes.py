"""The genes that each category's state changes, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.figures.style import add_colour_bar, label_ticks, new_figure, tidy, with_gaps

MAX_ROWS = 40
MAX_COLUMNS = 60


def state_genes(
    change: NDArray[np.floating[Any]],
    categories: Sequence[int],
    gene_names: Sequence[str],
    per_category: int = 10,
) -> Figure:
    """Draw the change of the leading genes of every category, by each category's state.

    Genes are ordered by the categories that they lead, so that programmes of one category
    alone form a diagonal. At most 40 categories and 60 genes are drawn.

    Args:
        change: Signed change of each gene in each category, in the unit of the data, shape (J, D).
        categories: Number of the category of each row, length J, at least 1.
        per_category: Leading genes of each category to draw, fewer where there are many categories.
    """
    if len(categories) == 0:
        raise ValueError("no category to draw genes of")
    shown = change[:MAX_ROWS]
    count = max(1, min(per_category, MAX_COLUMNS // len(shown)))
    leading = np.argsort(-np.abs(shown), axis=1, kind="stable")[:, :count].flatten()
    genes = np.array(list(dict.fromkeys(leading.tolist())))[:MAX_COLUMNS]
    rows = [str(k) for k in categories[: len(shown)]]
    width = float(np.clip(0.17 * len(genes) + 2.6, 4.5, 13.0))
    figure = new_figure(width, float(np.clip(0.24 * len(shown) + 2.0, 3.0, 11.0)))
    axes = figure.add_subplot()
    values = shown[:, genes]
    limit = float(np.abs(values).max()) or 1.0
    image = axes.imshow(values, vmin=-limit, vmax=limit, cmap=with_gaps("PuOr"), aspect="auto")
    add_colour_bar(figure, image, axes, "change over the state's range\n(unit of the data)")
    label_ticks(axes, rows, [str(gene_names[g]) for g in genes])
    # The names are the result, so every gene is labelled.
    axes.set_xticks(range(len(genes)), [str(gene_names[g]) for g in genes], rotation=90)
    tidy(axes, "Genes that the state changes within a category", x="gene", y="category")
    axes.tick_params(axis="x", labelsize=6)
    return figure
