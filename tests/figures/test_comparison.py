"""Each seed is a point at its value, and means are marked."""

from __future__ import annotations

import numpy as np

from mixvae.figures.comparison import Panel, method_scores, setting_curves


def test_a_row_for_each_method_a_panel_for_each_measure() -> None:
    scores = {"accuracy": [[0.8, 0.9], [0.5]], "reconstruction (nats)": [[12.0, 14.0], []]}
    figure = method_scores(["cpl", "imsat"], scores, "digits")
    figure.draw_without_rendering()
    accuracy, reconstruction = figure.axes
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["cpl", "imsat"]
    assert accuracy.get_ylim()[0] > accuracy.get_ylim()[1]
    points = [line.get_xydata() for line in accuracy.get_lines() if line.get_marker() == "o"]
    np.testing.assert_array_equal(points[0], [[0.8, 0], [0.9, 0]])
    means = [line.get_xydata() for line in reconstruction.get_lines() if line.get_marker() == "|"]
    np.testing.assert_array_equal(means, [[[13.0, 0]]])
    assert reconstruction.get_xlabel() == "reconstruction (nats)"


def test_curves_go_through_the_means_in_the_order_of_the_settings() -> None:
    curves = {"vote": {8: [0.9, 1.0], 1: [0.5, 0.7], 3: []}, "an agent": {1: [0.5]}}
    panel = Panel("agents", "accuracy", curves)
    figure = setting_curves([panel, Panel("agents", "consensus", {"mean": {2: [0.4]}}), panel])
    figure.draw_without_rendering()
    first, second, third = figure.axes
    np.testing.assert_allclose(first.get_lines()[0].get_xydata(), [[1, 0.6], [8, 0.95]])
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["vote", "an agent"]
    assert second.get_legend() is None
    assert third.get_subplotspec().rowspan.start == 1
