"""The figures of experiments: each seed a point at its value, means over seeds."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import PathCollection

from experiments.comparison import Panel, method_scores, setting_curves
from experiments.tradeoff import Point, Spread, objective_curve, tradeoff

NAN = float("nan")


def test_scores_of_methods_and_curves_of_settings() -> None:
    scores = {"accuracy": [[0.8, 0.9], [0.5]], "reconstruction (nats)": [[12.0, 14.0], []]}
    figure = method_scores(["cpl", "imsat"], scores, "digits")
    figure.draw_without_rendering()
    accuracy, reconstruction = figure.axes
    points = [line.get_xydata() for line in accuracy.get_lines() if line.get_marker() == "o"]
    np.testing.assert_array_equal(points[0], [[0.8, 0], [0.9, 0]])
    means = [line.get_xydata() for line in reconstruction.get_lines() if line.get_marker() == "|"]
    np.testing.assert_array_equal(means, [[[13.0, 0]]])

    curves = {"vote": {8: [0.9, 1.0], 1: [0.5, 0.7], 3: []}, "an agent": {1: [0.5]}}
    figure = setting_curves([Panel("agents", "accuracy", curves)] * 3)
    figure.draw_without_rendering()
    lines = figure.axes[0].get_lines()
    np.testing.assert_allclose(lines[0].get_xydata(), [[1, 0.6], [8, 0.95]])


def test_gains_against_a_cost_and_the_objective_under_its_bound() -> None:
    gains = [{"probe": Spread(0.5, 0.1), "coherence": Spread(0.4, NAN)}, {"probe": Spread(0.7, 0)}]
    mmvm = [Point(0.01, Spread(9.0, 1.0), gains[0]), Point(0.1, Spread(11.0, NAN), gains[1])]
    figure = tradeoff({"mmvm": mmvm}, ["probe", "coherence"], "error (nats)")
    figure.draw_without_rendering()
    probe, coherence = figure.axes
    (group,) = [group for group in probe.collections if isinstance(group, PathCollection)]
    assert np.asarray(group.get_offsets()).tolist() == [[9.0, 0.5], [11.0, 0.7]]
    assert group.get_sizes()[0] < group.get_sizes()[1]
    np.testing.assert_array_equal(coherence.get_lines()[0].get_xydata(), [[9.0, 0.4]])

    values = {"test": [Spread(-8.0, 0.5), Spread(-9.0, NAN)]}
    figure = objective_curve([1e-3, 1e-1], values, {"test": Spread(-7.5, NAN)})
    figure.draw_without_rendering()
    lines = figure.axes[0].get_lines()
    np.testing.assert_array_equal(lines[0].get_xydata(), [[1e-3, -8], [1e-1, -9]])
    assert lines[1].get_ydata()[0] == -7.5
