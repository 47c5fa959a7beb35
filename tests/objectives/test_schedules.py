"""Schedules: exact at both ends, monotone between, and strict about what they are given."""

import math
import pickle
from itertools import pairwise

import pytest

from mixvae.objectives.schedules import (
    AbstractRamp,
    Constant,
    Cosine,
    Geometric,
    Linear,
    Rounds,
    Schedule,
    as_schedule,
    settled_epoch,
)

RAMPS = pytest.mark.parametrize("ramp", [Linear, Cosine, Geometric])


@RAMPS
@pytest.mark.parametrize(("start", "end"), [(0.1, 0.7), (0.7, 0.1), (1e-9, 1e9), (0.3, 0.3)])
def test_ends_exact_and_monotone(ramp: type[AbstractRamp], start: float, end: float) -> None:
    schedule = ramp(start, end, begin=0.3, length=6.7)
    assert schedule(0) == schedule(0.3) == start
    assert schedule(0.3 + 6.7) == schedule(1e9) == end
    values = [schedule(0.3 + 6.7 * step / 1000) for step in range(1001)]
    sign = 1 if end >= start else -1
    assert all(sign * before <= sign * after for before, after in pairwise(values))
    assert min(values) == schedule.smallest == min(start, end)
    assert max(values) == max(start, end)


@RAMPS
def test_rounding_never_leaves_the_range(ramp: type[AbstractRamp]) -> None:
    edges = (math.nextafter(0, 1), 1e-300, 1e-16, 1 - 1e-16, math.nextafter(1, 0))
    for tenths in range(1, 100):
        schedule = ramp(tenths / 10, 10 / tenths, length=1)
        low, high = sorted((tenths / 10, 10 / tenths))
        assert all(low <= schedule(epoch) <= high for epoch in edges)


@RAMPS
def test_zero_length_is_a_step(ramp: type[AbstractRamp]) -> None:
    schedule = ramp(1.0, 2.0, begin=3, length=0)
    assert schedule(math.nextafter(3, 0)) == 1
    assert schedule(3) == 2
    assert ramp(1.0, 2.0, length=0)(0) == 2


def test_shapes_between_the_ends() -> None:
    assert Linear(1, 3, length=8)(2) == 1.5
    assert Cosine(1, 3, length=8)(2) == pytest.approx(1 + (1 - math.sqrt(0.5)))
    assert Cosine(1, 3, length=8)(4) == pytest.approx(2)
    assert Geometric(16, 1, length=8)(2) == pytest.approx(8)
    assert Constant(0.25)(17.3) == 0.25


def test_value_objects() -> None:
    schedule = Linear(0, 1, length=2)
    assert schedule == Linear(0, 1, 0.0, length=2)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    with pytest.raises(AttributeError):
        schedule.start = 2  # type: ignore[misc]


def test_a_number_is_a_constant_schedule() -> None:
    assert as_schedule(2) == Constant(2.0)
    linear = Linear(0, 1, length=2)
    assert as_schedule(linear) is linear
    assert isinstance(linear, Schedule)


def test_rounds_start_anew_each_time_after_a_first_part() -> None:
    schedule = Rounds(Linear(1.0, 0.2, length=4), Linear(0.5, 0.1, length=2), begin=10, length=4)
    assert isinstance(schedule, Schedule)
    assert [schedule(epoch) for epoch in (0, 2, 9.9)] == pytest.approx([1.0, 0.6, 0.2])
    for start in (10, 14, 18):
        values = [schedule(start + past) for past in (0, 1, 2, 3.9)]
        assert values == pytest.approx([0.5, 0.3, 0.1, 0.1])
    assert schedule(float("inf")) == 0.1
    assert schedule.smallest == 0.1
    assert Rounds(1.0, 2, begin=1, length=1)(5) == 2.0


@RAMPS
def test_the_epoch_from_which_a_schedule_keeps_its_value(ramp: type[AbstractRamp]) -> None:
    schedule = ramp(1.0, 2.0, begin=3, length=4)
    assert settled_epoch(schedule) == 7
    assert schedule(7) == schedule(1e9) != schedule(6.9)
    assert settled_epoch(ramp(1.0, 1.0, begin=3, length=4)) == settled_epoch(Constant(1.0)) == 0
    assert settled_epoch(ramp(1.0, 2.0, begin=-9, length=4)) == 0


def test_rounds_settle_with_the_first_of_them() -> None:
    assert settled_epoch(Rounds(1.0, 2.0, begin=10, length=4)) == 14
