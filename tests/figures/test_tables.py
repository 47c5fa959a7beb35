"""Heat maps and bars show the given counts."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.figures.tables import category_label_table, consensus_matrix, samples_per_category


@pytest.mark.parametrize("num_categories", [2, 10, 120])
def test_consensus_matrix_shows_the_matrix_and_its_mean_diagonal(num_categories: int) -> None:
    matrix = np.random.default_rng(0).random((num_categories, num_categories))
    figure = consensus_matrix(matrix)
    axes, bar = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), matrix)
    assert axes.images[0].get_clim() == (0, 1)
    assert f"{np.diagonal(matrix).mean():.3f}" in axes.get_title(loc="left")
    assert len(axes.texts) == (num_categories**2 if num_categories <= 20 else 0)
    assert "consensus" in bar.get_ylabel()
    figure.draw_without_rendering()


def test_label_table_shows_shares_writes_counts_and_names_rows_and_columns() -> None:
    counts = np.array([[30, 10], [0, 0], [0, 5]])
    figure = category_label_table(counts, [2, 0, 1], ["cat", "dog"], accuracy=0.777)
    axes = figure.axes[0]
    shown = axes.images[0].get_array()
    np.testing.assert_array_equal(shown[[0, 2]], [[0.75, 0.25], [0.0, 1.0]])
    assert np.ma.getmaskarray(shown)[1].all()
    assert [text.get_text() for text in axes.texts] == ["30", "10", "", "", "", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2", "0", "1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    assert "0.777" in axes.get_title(loc="left")
    figure.draw_without_rendering()


def test_a_table_too_large_for_numbers_has_none() -> None:
    figure = category_label_table(np.ones((92, 115), dtype=int), range(92), ["x"] * 115, 0.5)
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_yticks()) <= 40
    figure.draw_without_rendering()


@pytest.mark.parametrize("num_voters", [2, 3, 11])
def test_bars_are_as_high_as_the_counts(num_voters: int) -> None:
    occupancy = np.random.default_rng(0).integers(1, 50, size=(num_voters, 5))
    figure = samples_per_category(occupancy)
    (axes,) = figure.axes
    heights = [[bar.get_height() for bar in group] for group in axes.containers]
    np.testing.assert_array_equal(heights, occupancy)
    labels = [group.get_label() for group in axes.containers]
    assert labels == [*(f"agent {a}" for a in range(num_voters - 1)), "consensus vote"]
    edges = [bar.get_x() for group in axes.containers for bar in group]
    assert len({round(edge, 6) for edge in edges}) == occupancy.size
    figure.draw_without_rendering()


def test_numbers_of_categories_are_kept_where_some_are_left_out() -> None:
    (axes,) = samples_per_category(np.ones((2, 3), dtype=int), [0, 4, 7]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "4", "7"]
    axes, _ = consensus_matrix(np.eye(3), [0, 4, 7]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "4", "7"]
