from __future__ import annotations

import numpy as np

from mixvae.figures.search import history_figure, settings_figure

VALUES = [3.0, None, 1.0, 0.5, 2.0, float("nan")]
FINISHED = [True, False, True, False, True, False]


def test_the_best_so_far_is_of_finished_trials_only() -> None:
    axes = history_figure(VALUES, "loss", minimize=True, finished=FINISHED).axes[0]
    whole, pruned, best = axes.lines
    assert list(whole.get_xdata()) == [0, 2, 4]
    assert list(pruned.get_xdata()) == [3]
    assert pruned.get_markerfacecolor() == "none"
    assert list(best.get_ydata()) == [3.0, 1.0, 1.0]
    axes = history_figure(VALUES, "loss", minimize=False, finished=FINISHED).axes[0]
    assert list(axes.lines[2].get_ydata()) == [3.0, 3.0, 3.0]


def test_without_a_finished_trial_there_is_no_best() -> None:
    axes = history_figure([1.0, None], "loss", minimize=True, finished=[False, False]).axes[0]
    assert len(axes.lines) == 2


def test_every_setting_has_its_axes() -> None:
    settings = {
        "lr": [0.1, 0.2, 0.01, 0.3, 0.4, 0.5],
        "size": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "kind": ["b", "a", "b", "c", "a", "c"],
        "last": [1.0] * 6,
    }
    figure = settings_figure(settings, VALUES, "loss", finished=FINISHED, log=["lr"])
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_xlabel() for axes in shown] == list(settings)
    assert shown[0].get_xscale() == "log"
    np.testing.assert_allclose(shown[0].lines[0].get_xdata(), [0.1, 0.01, 0.4])
    assert [text.get_text() for text in shown[2].get_xticklabels()] == ["a", "b", "c"]
    assert list(shown[2].lines[0].get_xdata()) == [1, 1, 0]
    assert [axes.get_ylabel() for axes in shown] == ["loss", "", "", "loss"]
