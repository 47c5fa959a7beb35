import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from mixvae.evaluation.mixing import composition, label_agreement, lisi, of_one_batch


def test_lisi_is_the_number_of_groups_where_they_mix_and_one_where_they_do_not():
    random = np.random.default_rng(0)
    points, groups = random.normal(size=(900, 3)), random.integers(0, 3, 900)
    assert 2.6 < lisi(points, groups).mean() <= 3
    assert lisi(points + 100 * groups[:, None], groups).mean() == pytest.approx(1)


def test_lisi_is_that_of_its_definition():
    random = np.random.default_rng(1)
    points, groups = random.normal(size=(60, 2)), random.integers(0, 2, 60)
    found = lisi(points, groups, perplexity=5)
    distance, near = NearestNeighbors(n_neighbors=16).fit(points).kneighbors(points)
    for i in range(0, 60, 7):
        excess = distance[i, 1:] - distance[i, 1]
        precisions = np.exp(np.linspace(-6, 12, 200001))
        weight = np.exp(-precisions[:, None] * excess)
        weight /= weight.sum(1, keepdims=True)
        entropy = -(weight * np.log(np.maximum(weight, 1e-300))).sum(1)
        best = weight[np.abs(entropy - np.log(5)).argmin()]
        share = [best[groups[near[i, 1:]] == group].sum() for group in (0, 1)]
        assert found[i] == pytest.approx(1 / np.square(share).sum(), rel=1e-3)


def test_a_category_of_one_batch_is_found_unless_all_samples_are_of_it():
    category = np.repeat([0, 2, 3], [40, 30, 5])
    batch = np.concatenate([np.tile([0, 1], 20), np.ones(30, int), np.zeros(5, int)])
    used, counts = composition(category, batch, 2)
    assert used.tolist() == [0, 2, 3]
    assert counts.tolist() == [[20, 20], [0, 30], [5, 0]]
    assert of_one_batch(counts) == [(1, 1)]
    assert of_one_batch(np.array([[30, 0], [20, 0]])) == []


def test_agreement_with_labels_needs_labels():
    points = np.repeat([[0.0], [9.0]], 20, axis=0)
    assert label_agreement(points, np.repeat([0, 1], 20)) == 1
    assert label_agreement(points, np.full(40, -1)) is None
