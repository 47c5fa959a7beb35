"""The figure of a model-order search shows what was measured."""

from __future__ import annotations

import pytest

from mixvae.evaluation.model_order import Round
from mixvae.figures.model_order import model_order

ROUNDS = [
    Round(0, 20, 12, 0.6, 0.1, 11, 40.0, 0.3, (3,)),
    Round(1, 30, 11, 0.8, 0.5, 11, 41.0, 0.2, (5,)),
    Round(2, 40, 10, 0.97, 0.93, 10, 43.0, 0.1),
]


def test_each_line_is_the_measured_one_against_k() -> None:
    figure = model_order(ROUNDS, selected=10, threshold=0.95)
    consensus, reconstruction, populated = figure.axes
    lines = {line.get_label(): line for line in consensus.lines}
    assert lines["mean"].get_xydata().tolist() == [[10, 0.97], [11, 0.8], [12, 0.6]]
    assert list(lines["least category"].get_ydata()) == [0.93, 0.5, 0.1]
    assert set(lines) == {"mean", "least category", "threshold", "selected 10"}
    assert list(reconstruction.lines[0].get_ydata()) == [43.0, 41.0, 40.0]
    assert list(populated.lines[0].get_ydata()) == [10, 11, 11]


def test_one_round_is_drawn() -> None:
    assert len(model_order(ROUNDS[:1], selected=12, threshold=0.95).axes) == 3


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="no round was measured"):
        model_order([], selected=1, threshold=0.95)
