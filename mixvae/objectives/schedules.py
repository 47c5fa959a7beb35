"""Numbers that change with training time, in epochs: beta, lambda, temperatures, term weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from numbers import Real
from typing import Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """A number as a function of the epoch, which may be fractional."""

    @property
    def smallest(self) -> float:
        """The smallest value over all epochs."""
        ...

    def __call__(self, epoch: float) -> float:
        """The value at an epoch: 0 at the start of training, 1 after one pass."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same value always.

    Args:
        value: The value, finite.

    Source:
        Ours.
    """

    value: float

    def __post_init__(self) -> None:
        _check_finite("value", self.value)

    @property
    def smallest(self) -> float:
        """The value."""
        return float(self.value)

    def __call__(self, epoch: float) -> float:
        """The value."""
        return float(self.value)


@dataclass(frozen=True)
class AbstractRamp(ABC):
    """From one value to another between two epochs, constant before and after.

    Args:
        start: Value up to epoch `begin`, finite.
        end: Value from epoch `begin + length` on, finite.
        begin: Epoch at which the change begins, finite; may be negative.
        length: Epochs that the change takes, at least 0; 0 is a step, with `end` at `begin`.

    Source:
        Ours.
    """

    start: float
    end: float
    begin: float = 0.0
    length: float = field(kw_only=True)

    def __post_init__(self) -> None:
        for name in ("start", "end", "begin", "length"):
            _check_finite(name, getattr(self, name))
        if self.length < 0:
            raise ValueError(f"a schedule's length must be at least 0 epochs, got {self.length}")

    @property
    def smallest(self) -> float:
        """The smaller of the two ends."""
        return float(min(self.start, self.end))

    def __call__(self, epoch: float) -> float:
        """The value at an epoch; both ends are exact, and every value lies between them."""
        if epoch >= self.begin + self.length:
            return float(self.end)
        if epoch <= self.begin:
            return float(self.start)
        value = self._between((epoch - self.begin) / self.length)
        low, high = sorted((self.start, self.end))
        return float(min(max(value, low), high))

    @abstractmethod
    def _between(self, progress: float) -> float:
        """The value at a progress in (0, 1)."""


@dataclass(frozen=True)
class Linear(AbstractRamp):
    """A straight line from `start` to `end`; see `AbstractRamp` for the arguments.

    Source:
        Bowman et al. 2016 (linear warm-up of the KL weight).
    """

    def _between(self, progress: float) -> float:
        return self.start + progress * (self.end - self.start)


@dataclass(frozen=True)
class Cosine(AbstractRamp):
    """Half a cosine wave from `start` to `end`; see `AbstractRamp` for the arguments.

    Source:
        Loshchilov & Hutter 2017, eq. (5), one period without restarts.
    """

    def _between(self, progress: float) -> float:
        return self.start + 0.5 * (1 - math.cos(math.pi * progress)) * (self.end - self.start)


@dataclass(frozen=True)
class Geometric(AbstractRamp):
    """The same factor every epoch, for temperatures; see `AbstractRamp` for the arguments.

    Both ends must be above 0.

    Source:
        Jang et al. 2017 (exponential annealing of the Gumbel-softmax temperature).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in {"start": self.start, "end": self.end}.items():
            if not value > 0:
                raise ValueError(f"a geometric schedule's {name} must be above 0, got {value}")

    def _between(self, progress: float) -> float:
        # In logarithms: the ratio may exceed the range of a float.
        log_start, log_end = math.log(self.start), math.log(self.end)
        return math.exp(log_start + progress * (log_end - log_start))


@dataclass(frozen=True)
class Rounds:
    """One schedule up to an epoch, then another that starts anew with every round, as in pruning.

    Args:
        first: A number or a schedule over the epochs before the first round.
        each: A number or a schedule over the epochs of a round, counted from its start.
        begin: Epoch at which the first round starts, finite, at least 0.
        length: Epochs of a round, finite, above 0.

    Source:
        Ours; for a learning rate, Loshchilov & Hutter 2017 (warm restarts).
    """

    first: float | Schedule
    each: float | Schedule
    begin: float
    length: float

    def __post_init__(self) -> None:
        for name in ("begin", "length"):
            _check_finite(name, getattr(self, name))
        if self.begin < 0:
            raise ValueError(f"the first round must begin at 0 or later, got {self.begin}")
        if not self.length > 0:
            raise ValueError(f"a round must take more than 0 epochs, got {self.length}")
        object.__setattr__(self, "first", as_schedule(self.first, name="first"))
        object.__setattr__(self, "each", as_schedule(self.each, name="each"))

    @property
    def smallest(self) -> float:
        """The smaller of the two schedules' smallest values."""
        assert isinstance(self.first, Schedule)
        assert isinstance(self.each, Schedule)
        return min(self.first.smallest, self.each.smallest)

    def __call__(self, epoch: float) -> float:
        """The value at an epoch; at infinity, that of the end of a round."""
        assert isinstance(self.first, Schedule)
        assert isinstance(self.each, Schedule)
        if epoch < self.begin:
            return self.first(epoch)
        if math.isinf(epoch):
            return self.each(epoch)
        return self.each((epoch - self.begin) % self.length)


def settled_epoch(schedule: Schedule) -> float:
    """The epoch from which a schedule keeps its value; of one that is not ours, 0.

    Rounds start anew for ever: theirs is the end of the first.

    Source:
        Ours.
    """
    if isinstance(schedule, AbstractRamp):
        return 0.0 if schedule.start == schedule.end else max(schedule.begin + schedule.length, 0.0)
    return schedule.begin + schedule.length if isinstance(schedule, Rounds) else 0.0


def as_schedule(
    value: float | Schedule,
    *,
    name: str = "value",
    at_least: float | None = None,
    above: float | None = None,
) -> Schedule:
    """A number as a constant schedule, or a schedule; ValueError if it is neither or out of range.

    Source:
        Ours.
    """
    if isinstance(value, Schedule):
        schedule: Schedule = value
    else:
        _check_finite(name, value)
        schedule = Constant(float(value))
    if at_least is not None and not schedule.smallest >= at_least:
        raise ValueError(f"{name} must be at least {at_least:g}, got {schedule.smallest:g}")
    if above is not None and not schedule.smallest > above:
        raise ValueError(f"{name} must be above {above:g}, got {schedule.smallest:g}")
    return schedule


def _check_finite(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number or a schedule, got {value!r}")
