import pytest

from mixvae.spacing import spaced


@pytest.mark.parametrize(
    ("total", "count", "rows"),
    [(100, 3, [0, 50, 99]), (3, 4000, [0, 1, 2]), (3, None, [0, 1, 2]), (0, 5, []), (4, 1, [0])],
)
def test_rows_are_spread_evenly_and_none_twice(total, count, rows):
    assert spaced(total, count).tolist() == rows
