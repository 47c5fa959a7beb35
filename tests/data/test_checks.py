import pytest

from mixvae.data.checks import check_count, check_fraction, check_seconds, check_seed


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True, None])
def test_a_seed_out_of_range_is_named(seed):
    with pytest.raises(ValueError, match=rf"seed is {seed!r}; it must be a whole number, 0 or mo"):
        check_seed(seed)


@pytest.mark.parametrize("count", [0, -3, 2.0, "ten", True])
def test_a_count_out_of_range_is_named(count):
    with pytest.raises(ValueError, match=rf"batch_size is {count!r}; it must be .*1 or more"):
        check_count("batch_size", count)


@pytest.mark.parametrize("fraction", [0, 1, 0.0, 1.0, -0.1, 1.1, float("nan"), float("inf"), "x"])
def test_a_fraction_out_of_range_is_named(fraction):
    with pytest.raises(ValueError, match=rf"val_fraction is {fraction!r}; it must lie strictly"):
        check_fraction("val_fraction", fraction)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), "soon"])
def test_a_duration_out_of_range_is_named(seconds):
    with pytest.raises(ValueError, match=rf"timeout is {seconds!r}; it must be a positive"):
        check_seconds("timeout", seconds)


def test_values_in_range_pass():
    check_seed(0)
    check_count("batch_size", 1)
    check_count("train_samples", 2, least=2)
    check_fraction("val_fraction", 0.5)
    check_seconds("timeout", 0.1)
