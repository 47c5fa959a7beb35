"""Which categories are pruned, how far pruning reaches, and which order is selected."""

from __future__ import annotations

import numpy as np
import pytest

from mixvae.evaluation.model_order import (
    Round,
    choose_pruned,
    fewest_categories,
    num_to_prune,
    select_order,
)

ALL = np.ones(5, bool)


def rounds(*pairs: tuple[int, float]) -> list[Round]:
    return [
        Round(number, 10 * number, order, consensus, 0.1, order, 50.0, 0.2)
        for number, (order, consensus) in enumerate(pairs)
    ]


def test_the_least_consensual_go_first_and_the_emptier_of_equals() -> None:
    consensus = [0.9, 0.2, 0.0, 0.97, 0.0]
    occupancy = [10, 10, 3, 10, 0]
    assert choose_pruned(consensus, occupancy, ALL, 0.95, 1) == (4,)
    assert choose_pruned(consensus, occupancy, ALL, 0.95, 3) == (4, 2, 1)
    assert choose_pruned([0.0] * 5, [0] * 5, ALL, 0.95, 2) == (0, 1)


def test_what_has_the_consensus_or_is_pruned_already_stays() -> None:
    consensus, occupancy = [0.9, 0.2, 0.0, 0.97, 0.0], [10] * 5
    kept = np.array([True, True, False, True, False])
    assert choose_pruned(consensus, occupancy, kept, 0.95, 3) == (1,)
    assert choose_pruned(consensus, occupancy, ALL, 0.1, 3) == (2, 4)
    assert choose_pruned([1.0] * 5, occupancy, ALL, 0.95, 3) == ()


def test_two_are_always_left() -> None:
    assert choose_pruned([0.0] * 5, [1] * 5, ALL, 0.95, 9) == (0, 1, 2)
    kept = np.array([True, False, False, True, False])
    assert choose_pruned([0.0] * 5, [1] * 5, kept, 0.95, 1) == ()


@pytest.mark.parametrize(
    ("num_kept", "num_per_round", "expected"),
    [(20, 1, 1), (20, 3, 3), (4, 3, 2), (2, 1, 0), (20, 0.1, 2), (3, 0.1, 1), (100, 0.25, 25)],
)
def test_a_number_or_a_share_may_be_pruned(
    num_kept: int, num_per_round: float, expected: int
) -> None:
    assert num_to_prune(num_kept, num_per_round) == expected


def test_the_reachable_range_is_that_of_all_rounds() -> None:
    assert fewest_categories(20, 1, 12) == 8
    assert fewest_categories(20, 1, 40) == 2
    assert fewest_categories(20, 0.5, 2) == 5


def test_the_largest_order_that_meets_the_threshold_is_selected() -> None:
    order = select_order(rounds((20, 0.7), (19, 0.96), (18, 0.9), (17, 0.99)), 0.95)
    assert (order.selected.num_categories, order.threshold_met) == (19, True)


def test_without_any_the_best_is_taken_and_said_not_to_meet_it() -> None:
    order = select_order(rounds((20, 0.7), (19, 0.9), (18, 0.8)), 0.95)
    assert (order.selected.num_categories, order.threshold_met) == (19, False)
