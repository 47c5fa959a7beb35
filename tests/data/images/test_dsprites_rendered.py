import numpy as np
import pytest

from mixvae.data.images.dsprites import grid, kept_values
from mixvae.data.images.dsprites_rendered import (
    ELLIPSE_HALF_AXES,
    HEART_AREA,
    HEART_UNIT,
    SQUARE_HALF_SIDE,
    angle_of,
    draw,
    render,
    scale_of,
)

SQUARE, ELLIPSE, HEART = range(3)
AREAS = {
    SQUARE: (2 * SQUARE_HALF_SIDE) ** 2,
    ELLIPSE: np.pi * ELLIPSE_HALF_AXES[0] * ELLIPSE_HALF_AXES[1],
    HEART: HEART_AREA * HEART_UNIT**2,
}


def images_of(subset: dict) -> np.ndarray:
    packed = render(grid(kept_values(subset)))
    return np.unpackbits(packed, axis=1).reshape(-1, 64, 64)


@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE, HEART])
@pytest.mark.parametrize("scale", [0, 3, 5])
def test_areas_are_those_of_the_closed_form(shape, scale):
    # upright, a whole row of border pixels is in or out at once
    areas = [float(draw(shape, scale, orientation).sum()) for orientation in range(1, 39)]
    expected = AREAS[shape] * scale_of(scale) ** 2
    assert np.mean(areas) == pytest.approx(expected, rel=0.02)
    # one drawing is off by some of the pixels on its border
    assert areas == pytest.approx([expected] * 38, abs=0.4 * np.sqrt(expected) + 2)


@pytest.mark.parametrize(("shape", "times"), [(SQUARE, 4), (ELLIPSE, 2), (HEART, 1)])
def test_symmetric_shapes_look_the_same_turned(shape, times):
    upright = draw(shape, 5, 0)
    assert np.array_equal(upright, upright[:, ::-1])
    assert np.array_equal(np.rot90(upright, 4 // times), upright)
    if times < 4:
        assert not np.array_equal(np.rot90(upright, 4 // times // 2 or 1), upright)


def test_orientation_turns_clockwise_from_0_to_2_pi():
    assert (angle_of(0), angle_of(39)) == (0, 2 * np.pi)
    for shape in (SQUARE, ELLIPSE, HEART):
        difference = draw(shape, 5, 0) != draw(shape, 5, 39)
        assert difference.sum() == 0
    rows, columns = np.nonzero(draw(ELLIPSE, 5, 3))
    # the long axis points right and, in rows that count downwards, down
    assert np.corrcoef(rows, columns)[0, 1] > 0.3


def test_a_heart_points_downwards_at_orientation_0():
    rows = draw(HEART, 5, 0).sum(axis=1)
    used = np.flatnonzero(rows)
    assert rows[used[-1]] < rows[used[0]]


def test_a_position_is_a_shift_by_one_pixel():
    images = images_of({"shape": [HEART], "scale": [5], "orientation": [7]})
    images = images.reshape(32, 32, 64, 64)
    for x, y in ((0, 31), (31, 0), (5, 20)):
        moved = np.roll(images[0, 0], (y, x), axis=(0, 1))
        assert np.array_equal(images[x, y], moved)
    rows, columns = np.nonzero(images_of({"shape": [SQUARE], "scale": [5], "orientation": [0]})[0])
    assert (rows.mean(), columns.mean()) == (16, 16)


def test_images_are_binary_whole_and_in_the_order_of_the_grid():
    subset = {"scale": [0, 5], "orientation": [0, 5], "x": 31, "y": 31}
    images = images_of(subset)
    assert images.shape == (3 * 2 * 2 * 2 * 2, 64, 64)
    assert set(np.unique(images)) == {0, 1}
    table = images.reshape(3, 2, 2, 2, 2, -1).sum(axis=-1)
    for shape in range(3):
        for scale in range(2):
            for turn in range(2):
                # no position cuts anything off
                expected = draw(shape, 5 * scale, 5 * turn).sum()
                assert (table[shape, scale, turn] == expected).all()


def test_neighbours_on_the_grid_are_different_images():
    images = images_of({"shape": [HEART], "scale": [4, 5], "x": [0, 1], "y": [0, 1]})
    # the first orientation and the last one are the same
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == 2 * 39 * 2 * 2


def test_no_sprite_reaches_beyond_its_drawing():
    for shape in range(3):
        for orientation in range(40):
            drawing = draw(shape, 5, orientation)
            border = drawing[[0, -1]].sum() + drawing[:, [0, -1]].sum()
            assert border == 0
