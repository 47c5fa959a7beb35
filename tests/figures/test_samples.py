"""Every cell of a mosaic is the given image, and every panel the given data."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.figures.samples import category_samples, reconstructions, traversal

RNG = np.random.default_rng(0)
RANGE = (0.0, 1.0)


def cell(canvas: np.ndarray, row: int, column: int, height: int, width: int) -> np.ndarray:
    """Cut an image out of a mosaic whose images are one pixel apart."""
    top, left = row * (height + 1), column * (width + 1)
    return canvas[top : top + height, left : left + width]


def canvas_of(figure) -> np.ndarray:
    (axes,) = figure.axes
    figure.draw_without_rendering()
    return axes.images[0].get_array()


def test_reconstructions_lie_below_their_samples() -> None:
    samples, decoded = RNG.random((4, 1, 6, 5)), RNG.random((2, 4, 1, 6, 5))
    figure = reconstructions(samples, decoded, [3, 3, 0, 7], RANGE)
    canvas = canvas_of(figure)
    assert canvas.shape == (3 * 7 - 1, 4 * 6 - 1)
    for n in range(4):
        np.testing.assert_array_equal(cell(canvas, 0, n, 6, 5), samples[n, 0])
        for a in range(2):
            np.testing.assert_array_equal(cell(canvas, 1 + a, n, 6, 5), decoded[a, n, 0])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3", "3", "0", "7"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "sample",
        "agent 0",
        "agent 1",
    ]
    assert axes.images[0].get_clim() == RANGE


def test_traversal_has_a_row_per_category_and_a_column_per_value() -> None:
    decoded = RNG.random((3, 5, 1, 4, 4))
    figure = traversal(decoded, np.linspace(-1, 1, 5), [0, 4, 9], state=2, value_range=RANGE)
    canvas = canvas_of(figure)
    for row in range(3):
        for step in range(5):
            np.testing.assert_array_equal(cell(canvas, row, step, 4, 4), decoded[row, step, 0])
    (axes,) = figure.axes
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["-1.0", "-0.5", "0.0", "0.5", "1.0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "4", "9"]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([-0.02, 0.0, 0.02], ["-0.02", "0.00", "0.02"]),
        ([-0.004, 5.0], ["0.0", "5.0"]),
        ([0.3, 0.3], ["0.30", "0.30"]),
    ],
)
def test_values_of_a_narrow_or_dead_state_are_told_apart(
    values: list[float], ticks: list[str]
) -> None:
    figure = traversal(RNG.random((1, len(values), 1, 4, 4)), np.array(values), [0], 0, RANGE)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ticks


def test_category_samples_leave_missing_ones_empty() -> None:
    samples = [RNG.random((3, 1, 4, 4)), np.empty((0, 1, 4, 4)), RNG.random((1, 1, 4, 4))]
    canvas = canvas_of(category_samples(samples, [0, 1, 2], RANGE))
    missing = np.ma.getmaskarray(canvas)
    for row, members in enumerate(samples):
        for column in range(3):
            if column < len(members):
                shown = cell(canvas, row, column, 4, 4)
                np.testing.assert_array_equal(shown, members[column, 0])
            else:
                assert cell(missing, row, column, 4, 4).all()


def test_three_channels_are_colours_scaled_to_the_unit_interval() -> None:
    samples = 255 * RNG.random((2, 3, 4, 4))
    canvas = canvas_of(category_samples([samples], [0], (0.0, 255.0)))
    expected = np.moveaxis(samples[1], 0, -1) / 255
    np.testing.assert_allclose(cell(canvas, 0, 1, 4, 4), expected)


def test_images_without_a_range_and_of_one_value_are_drawn() -> None:
    canvas_of(category_samples([np.full((2, 1, 4, 4), 0.5)], [0], None))


def test_other_data_become_lines_and_heat_maps() -> None:
    samples, decoded = RNG.random((5, 30)), RNG.random((2, 5, 30))
    figure = reconstructions(samples, decoded, [0, 1, 2, 3, 4], None)
    assert len(figure.axes) == 5
    for n, axes in enumerate(figure.axes):
        drawn = [line.get_ydata() for line in axes.get_lines()]
        np.testing.assert_array_equal(drawn, [samples[n], decoded[0, n], decoded[1, n]])
    figure.draw_without_rendering()

    decoded = RNG.random((4, 5, 30))
    figure = traversal(decoded, np.linspace(-1, 1, 5), [0, 1, 2, 3], 0, None)
    *panels, _ = figure.axes
    shown = [axes.images[0].get_array() for axes in panels]
    np.testing.assert_array_equal(shown, decoded)
    figure.draw_without_rendering()

    rows = [RNG.random((2, 30)), np.empty((0, 30))]
    figure = category_samples(rows, [5, 6], None)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), rows[0])
    assert np.ma.getmaskarray(figure.axes[1].images[0].get_array()).all()
    figure.draw_without_rendering()
