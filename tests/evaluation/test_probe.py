"""A probe finds what a linear function tells, no more, and the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from mixvae.evaluation.probe import (
    Labelled,
    accuracy,
    balanced_accuracy,
    fit_logistic,
    fit_mlp,
    known,
)


def blobs(size: int, seed: int, distance: float = 6.0) -> Labelled:
    generator = np.random.default_rng(seed)
    label = np.arange(size) % 3
    centre = distance * np.array([[0, 0], [1, 0], [0, 1]])
    return Labelled(centre[label] + generator.normal(size=(size, 2)), label)


def test_separate_classes_are_found_and_noise_is_not() -> None:
    classify = fit_logistic(blobs(90, 0))
    assert accuracy(classify, blobs(300, 1)) > 0.97
    nothing = fit_logistic(blobs(300, 0, distance=0.0))
    assert accuracy(nothing, blobs(900, 1, distance=0.0)) == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1e4, 1e5)])
def test_scale_and_offset_do_not_matter(scale: float, offset: float) -> None:
    train, test = blobs(90, 0), blobs(300, 1)
    plain = accuracy(fit_logistic(train), test)
    moved = fit_logistic(Labelled(scale * train.x + offset, train.label))
    assert accuracy(moved, Labelled(scale * test.x + offset, test.label)) == plain


def test_a_collapsed_latent_gives_the_most_frequent_class() -> None:
    label = np.array([0, 1, 1, 1, 2])
    classify = fit_logistic(Labelled(np.zeros((5, 2)), label))
    np.testing.assert_array_equal(classify(np.zeros((4, 2))), 1)


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    train, test = blobs(90, 0, 1.5), blobs(300, 1, 1.5)
    kept = np.flatnonzero((test.label != 2) | (np.arange(300) % 5 == 0))
    uneven = Labelled(test.x[kept], test.label[kept])
    classify = fit_logistic(train)
    expected = balanced_accuracy_score(uneven.label, classify(uneven.x))
    assert balanced_accuracy(classify, uneven) == pytest.approx(expected)


def test_an_mlp_finds_what_no_linear_function_tells() -> None:
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, (600, 2, 1))
    data = Labelled(x, (x[:, 0, 0] * x[:, 1, 0] > 0).astype(np.int64))
    assert accuracy(fit_logistic(data), data) < 0.65
    classify = fit_mlp(data)
    assert accuracy(classify, data) > 0.9
    np.testing.assert_array_equal(classify(x), fit_mlp(data)(x))


def test_unknown_labels_are_left_out() -> None:
    kept = known(np.arange(6.0).reshape(3, 2), np.array([1, -1, 0]))
    np.testing.assert_array_equal(kept.x, [[0, 1], [4, 5]])
    np.testing.assert_array_equal(kept.label, [1, 0])
