"""Points lie at their means with bars of their deviations; better is to the top right."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import PathCollection

from mixvae.figures.tradeoff import Point, Spread, objective_curve, tradeoff

NAN = float("nan")


def test_a_curve_for_each_method_in_each_panel() -> None:
    curves = {
        "mmvm": [
            Point(
                0.01, Spread(9.0, 1.0), {"probe": Spread(0.5, 0.1), "coherence": Spread(0.4, NAN)}
            ),
            Point(0.1, Spread(11.0, NAN), {"probe": Spread(0.7, 0.1)}),
        ],
        "ae": [Point(None, Spread(8.0, 1.0), {"probe": Spread(0.3, 0.0)})],
    }
    figure = tradeoff(curves, ["probe", "coherence"], "error (nats)")
    figure.draw_without_rendering()
    probe, coherence = figure.axes
    drawn = [group for group in probe.collections if isinstance(group, PathCollection)]
    assert np.asarray(drawn[0].get_offsets())[:, 1].tolist() == [0.5, 0.7]
    assert drawn[0].get_sizes()[0] < drawn[0].get_sizes()[1]
    assert probe.get_xlim()[0] > probe.get_xlim()[1]
    assert probe.get_xlabel() == "error (nats), smaller to the right"
    np.testing.assert_array_equal(probe.get_lines()[0].get_xydata(), [[9.0, 0.5], [11.0, 0.7]])
    np.testing.assert_array_equal(coherence.get_lines()[0].get_xydata(), [[9.0, 0.4]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["mmvm", "ae"]


def test_the_objective_is_drawn_under_its_bound() -> None:
    values = {"training": [Spread(-8.0, 0.5), Spread(-9.0, NAN)], "test": [Spread(-9.0, 0.1)] * 2}
    bounds = {"training": Spread(-7.5, 0.2), "test": Spread(-8.5, NAN)}
    figure = objective_curve([1e-3, 1e-1], values, bounds)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(), [[1e-3, -8], [1e-1, -9]])
    assert axes.get_lines()[1].get_ydata()[0] == -7.5
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] > axes.get_xlim()[1]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["training", "test"]
