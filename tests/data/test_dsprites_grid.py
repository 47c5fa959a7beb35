import numpy as np
import pytest

from mixvae.data.dsprites_grid import FACTOR_SIZES, grid, kept_values


def test_the_whole_grid_counts_up_with_y_fastest():
    images = grid(kept_values({}))
    assert len(images.rows) == 737_280
    assert np.array_equal(images.rows, np.arange(737_280))
    assert images.factors[[0, 1, 32, 1024, 40 * 1024, -1]].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [2, 5, 39, 31, 31],
    ]


def test_a_subset_is_cut_from_the_whole_grid():
    whole = grid(kept_values({}))
    subset = {"shape": [2, 0], "scale": 2, "orientation": [39], "x": 16, "y": 31}
    images = grid(kept_values(subset))
    assert images.values == ((0, 2), (0, 2, 4), (39,), (0, 16), (0, 31))
    original = whole.factors[images.rows]
    assert len(images.rows) == 2 * 3 * 1 * 2 * 2
    for column, kept in enumerate(images.values):
        assert np.array_equal(original[:, column], np.array(kept)[images.factors[:, column]])
    assert (np.diff(images.rows) > 0).all()


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ({"colour": 1}, "'colour', which dSprites does not have; its factors are shape, scale"),
        ({"orientation": []}, "subset.orientation is empty, so the subset leaves no image"),
        ({"x": 0}, "subset.x is 0; it must be 1 or more"),
        ({"x": -2}, "subset.x is -2"),
        ({"shape": [0, 3]}, r"subset.shape holds 3; the values of shape are 0\.\.2"),
        ({"shape": [-1]}, "subset.shape holds -1"),
        ({"shape": ["heart"]}, "subset.shape holds 'heart'"),
        ({"scale": 1.5}, "subset.scale is 1.5; it must be a whole number n"),
        ({"scale": "all"}, "subset.scale is 'all'"),
        ({"scale": True}, "subset.scale is True"),
        ({"scale": None}, "subset.scale is None"),
    ],
)
def test_a_subset_that_makes_no_sense_is_refused(subset, message):
    with pytest.raises(ValueError, match=message):
        kept_values(subset)


def test_factors_are_those_of_the_paper():
    assert np.prod(list(FACTOR_SIZES.values())) == 737_280
