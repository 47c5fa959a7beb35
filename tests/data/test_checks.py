import pytest

from mixvae.data.checks import (
    check_count,
    check_fraction,
    check_fractions,
    check_seconds,
    check_seed,
)

NAN, INF = float("nan"), float("inf")
WRONG = {
    check_seed: [("seed", value) for value in (-1, 1.5, "a", True, None)],
    check_count: [("batch_size", value) for value in (0, -3, 2.0, "ten", True)],
    check_fraction: [("val_fraction", value) for value in (0, 1, -0.1, 1.1, NAN, INF, "x")],
    check_seconds: [("timeout", value) for value in (0, -1.0, NAN, "soon")],
}


@pytest.mark.parametrize(
    ("check", "name", "value"), [(check, *case) for check, cases in WRONG.items() for case in cases]
)
def test_a_value_out_of_range_is_named(check, name, value):
    with pytest.raises(ValueError, match=f"^{name} is {value!r}; it must "):
        check(value) if check is check_seed else check(name, value)


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match=r"0.5 and test_fraction 0.5 leave nothing to train on"):
        check_fractions(0.5, 0.5)


def test_values_in_range_pass():
    check_seed(0)
    check_count("batch_size", 1)
    check_count("train_samples", 2, least=2)
    check_fraction("val_fraction", 0.5)
    check_seconds("timeout", 0.1)
