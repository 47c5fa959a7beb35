"""Which trials meet: every one takes part, in company of its own class, and nothing else."""

import numpy as np
import pytest

from mixvae.data.modalities.pairing import (
    drop_at_random,
    find_missing,
    pair_by_class,
    pair_in_order,
    split_by_class,
)


def groups() -> list[dict[int, np.ndarray]]:
    """Three modalities of two classes; a row says its modality, class and number."""
    sizes = [(3, 5), (7, 2), (4, 4)]
    return [
        {k: 1000 * m + 100 * k + np.arange(size) for k, size in enumerate(pair)}
        for m, pair in enumerate(sizes)
    ]


def test_every_row_takes_part_and_as_often_as_its_fellows():
    events = pair_by_class(groups(), np.random.default_rng(0))
    assert events.rows.shape == (7 + 5, 3)
    assert events.label.tolist() == [0] * 7 + [1] * 5
    assert (events.rows // 100 % 10 == events.label[:, None]).all()
    assert (events.rows // 1000 == np.arange(3)).all()
    for m, group in enumerate(groups()):
        for k, rows in group.items():
            used = events.rows[events.label == k, m]
            counts = [np.count_nonzero(used == row) for row in rows]
            assert max(counts) - min(counts) <= 1
            assert min(counts) >= 1


def test_pairing_is_a_function_of_the_generator_and_its_sizes_are_not():
    first, again, other = (
        pair_by_class(groups(), np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.rows, again.rows)
    assert not np.array_equal(first.rows, other.rows)
    assert np.array_equal(first.label, other.label)


def test_pairing_in_order_takes_the_first_of_each():
    events = pair_in_order(groups())
    assert events.label.tolist() == [0] * 3 + [1] * 2
    assert events.rows[:, 0].tolist() == [0, 1, 2, 100, 101]
    assert events.rows[:, 1].tolist() == [1000, 1001, 1002, 1100, 1101]


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.95])
def test_what_is_hidden_is_a_share_and_one_of_each_event_stays(fraction):
    rows = np.arange(4000).reshape(1000, 4)
    rows[:100, 1:] = -1  # events that have one modality from the beginning
    hidden = drop_at_random(rows, fraction, np.random.default_rng(0))
    kept = hidden != -1
    assert kept.any(axis=1).all()
    assert np.array_equal(hidden[kept], rows[kept])
    assert kept[:100, 0].all()
    share = 1 - kept[100:].mean()
    expected = fraction - fraction**4 / 4  # of four that would all be hidden, one stays
    assert share == pytest.approx(expected, abs=0.03)
    # which one stays is not always the same
    alone = kept[100:][kept[100:].sum(axis=1) == 1]
    assert fraction < 0.4 or (alone.mean(axis=0) > 0.15).all()


def test_parts_share_no_row_and_each_has_every_class():
    rows = {0: np.arange(40), 1: np.arange(100, 103), 2: np.arange(200, 210)}
    parts = split_by_class(rows, [0.2, 0.3], np.random.default_rng(0))
    assert [len(part[0]) for part in parts] == [8, 12, 20]
    assert [len(part[1]) for part in parts] == [1, 1, 1]
    assert [len(part[2]) for part in parts] == [2, 3, 5]
    for k, whole in rows.items():
        together = np.sort(np.concatenate([part[k] for part in parts]))
        assert np.array_equal(together, whole)


@pytest.mark.parametrize("fractions", [[0.9, 0.05], [0.05, 0.9], [0.45, 0.45]])
def test_no_part_is_empty_however_unequal_the_shares(fractions):
    for size in range(3, 12):
        parts = split_by_class({0: np.arange(size)}, fractions, np.random.default_rng(size))
        assert min(len(part[0]) for part in parts) >= 1
        assert sum(len(part[0]) for part in parts) == size


def test_negative_whole_numbers_are_missing_only_as_tokens() -> None:
    array = np.array([[-1, -2], [3, -1]])
    assert find_missing("a", array).present.tolist() == [True, True]
    assert find_missing("a", array, are_tokens=True).present.tolist() == [False, True]
