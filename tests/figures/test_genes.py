"""The heat map shows the changes of the leading genes."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.figures.genes import MAX_COLUMNS, MAX_ROWS, state_genes


def test_the_leading_genes_of_each_category_stand_on_the_diagonal() -> None:
    change = 0.01 * np.random.default_rng(0).normal(size=(3, 30))
    change[0, 5], change[1, 20], change[2, 1] = 2.0, -3.0, 1.0
    figure = state_genes(change, [0, 4, 7], [f"gene{i}" for i in range(30)], per_category=1)
    axes, bar = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), change[:, [5, 20, 1]])
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["gene5", "gene20", "gene1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "4", "7"]
    assert axes.images[0].get_clim() == (-3, 3)
    assert "unit of the data" in bar.get_ylabel()
    figure.draw_without_rendering()


@pytest.mark.parametrize("num_categories", [1, 10, 120])
def test_many_categories_stay_readable(num_categories: int) -> None:
    change = np.random.default_rng(0).normal(size=(num_categories, 500))
    figure = state_genes(change, range(num_categories), [f"g{i}" for i in range(500)])
    rows, columns = figure.axes[0].images[0].get_array().shape
    assert rows == min(num_categories, MAX_ROWS)
    assert 10 <= columns <= MAX_COLUMNS
    assert len(figure.axes[0].get_xticklabels()) == columns
    figure.draw_without_rendering()


def test_genes_that_do_not_change_are_drawn_all_the_same() -> None:
    state_genes(np.zeros((2, 5)), [0, 1], list("abcde")).draw_without_rendering()


def test_no_category_is_refused() -> None:
    with pytest.raises(ValueError, match="no category"):
        state_genes(np.zeros((0, 5)), [], list("abcde"))
