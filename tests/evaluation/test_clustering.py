"""Clustering measures against scikit-learn and brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from mixvae.evaluation.clustering import (
    adjusted_rand_index,
    clustering_accuracy,
    match_classes,
    normalised_mutual_information,
    order_by_class,
)

MEASURES = [clustering_accuracy, normalised_mutual_information, adjusted_rand_index]
SIZES = [(2, 2), (4, 4), (5, 3), (3, 5), (1, 4), (4, 1), (1, 1)]


def draw(num_categories: int, num_classes: int, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Draw categories that agree with the classes on about half of 60 samples."""
    rng = np.random.default_rng(seed)
    label = rng.integers(num_classes, size=60)
    category = np.where(rng.random(60) < 0.5, label, rng.integers(num_categories, size=60))
    return np.minimum(category, num_categories - 1), label


def brute_force_accuracy(table: NDArray[np.int64]) -> float:
    """Try every one-to-one matching of the larger side to the smaller."""
    if table.shape[0] < table.shape[1]:
        table = table.T
    num_rows, num_columns = table.shape
    hits = [
        table[list(rows), range(num_columns)].sum()
        for rows in permutations(range(num_rows), num_columns)
    ]
    return max(hits) / table.sum()


@pytest.mark.parametrize(("num_categories", "num_classes"), SIZES)
def test_measures_equal_their_references(num_categories: int, num_classes: int) -> None:
    for seed in range(5):
        category, label = draw(num_categories, num_classes, seed)
        table = contingency_matrix(category, label)
        assert clustering_accuracy(table) == pytest.approx(brute_force_accuracy(table))
        nmi = normalized_mutual_info_score(label, category)
        assert normalised_mutual_information(table) == pytest.approx(nmi, abs=1e-12)
        ari = adjusted_rand_score(label, category)
        assert adjusted_rand_index(table) == pytest.approx(ari, abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_empty_categories_and_classes_change_nothing(measure) -> None:
    category, label = draw(4, 4, seed=0)
    table = contingency_matrix(category, label)
    padded = np.zeros((7, 6), dtype=np.int64)
    padded[1:5, 2:6] = table
    assert measure(padded) == pytest.approx(measure(table), abs=1e-12)


def test_with_more_categories_than_classes_the_ones_left_over_count_as_wrong() -> None:
    # Each of two classes is split in two: pure categories, but only half can be matched.
    table = np.array([[6, 0], [4, 0], [0, 7], [0, 3]])
    assert match_classes(table).tolist() == [0, -1, 1, -1]
    assert clustering_accuracy(table) == 13 / 20


def test_order_puts_matched_counts_on_the_diagonal_and_the_rest_last_by_size() -> None:
    table = np.array([[1, 0, 1], [0, 0, 9], [3, 2, 1], [8, 1, 0], [0, 7, 2]])
    assert order_by_class(table).tolist() == [3, 4, 1, 2, 0]


def test_rand_index_of_ten_million_samples_does_not_overflow() -> None:
    table = np.diag([5_000_000, 5_000_000])
    assert adjusted_rand_index(table) == 1.0
    independent = np.full((2, 2), 2_500_000)
    assert adjusted_rand_index(independent) == pytest.approx(0.0, abs=1e-6)
