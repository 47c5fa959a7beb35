"""Heat map and bars show the numbers that they are given."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mixvae.figures.coherence import accuracy_bars, coherence_heat_map


def test_the_heat_map_holds_the_matrix_and_writes_it() -> None:
    matrix = np.array([[0.9, 0.25], [np.nan, 0.5]])
    figure = coherence_heat_map(matrix, ["left", "right"], 0.25)
    axes = figure.axes[0]
    figure.draw_without_rendering()
    np.testing.assert_array_equal(np.ma.filled(axes.images[0].get_array(), np.nan), matrix)
    assert [text.get_text() for text in axes.texts] == ["0.90", "0.25", "", "0.50"]
    assert axes.get_title(loc="left") == "Coherence (mean over pairs 0.250)"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["left", "right"]


def test_names_below_the_bars_keep_apart() -> None:
    many = [f"modality_{m}" for m in range(16)]
    for names in (["a_long_name_of_one", "another_long_name"], many):
        count = len(names)
        figure = accuracy_bars({"probe": [0.5] * count}, names, [0.2] * count, "held-out samples")
        figure.draw_without_rendering()
        boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
        assert all(one.x1 < next.x0 for one, next in pairwise(boxes))


def test_many_modalities_are_drawn_without_numbers() -> None:
    figure = coherence_heat_map(np.full((50, 50), 0.5), [f"m{i}" for i in range(50)], 0.5)
    assert not figure.axes[0].texts
    figure.draw_without_rendering()


def test_bars_are_as_high_as_the_accuracies() -> None:
    series = {"probe": [0.5, 0.7], "classifier": [0.9, np.nan]}
    figure = accuracy_bars(series, ["left", "right"], [0.25, 0.5], "validation samples")
    axes = figure.axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_array_equal(heights, [0.5, 0.7, 0.9, np.nan])
    (lines,) = axes.collections
    assert [segment[:, 1].tolist() for segment in lines.get_segments()] == [[0.25] * 2, [0.5] * 2]
    shown = {text.get_text() for text in axes.get_legend().get_texts()}
    assert shown == {*series, "share of the largest class"}
    assert axes.get_ylabel() == "accuracy on validation samples"
    # The bars of a modality stand about its tick, side by side.
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert middles == pytest.approx([-0.2, 0.8, 0.2, 1.2])
