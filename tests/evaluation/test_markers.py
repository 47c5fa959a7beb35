"""Marker genes, against scipy's own test."""

import numpy as np
from scipy import stats

from mixvae.evaluation.markers import find_markers


def test_scores_are_welchs_t_and_the_strongest_gene_is_first() -> None:
    random = np.random.default_rng(0)
    category = np.repeat([0, 2, 5], [40, 50, 1])
    x = random.poisson(1.0, (91, 6)).astype(np.float32)
    x[category == 0, 3] += 4
    x[:, 4] = 0
    found = find_markers(x, category, np.array([0, 2, 5]))
    live = [0, 1, 2, 3, 5]
    own, rest = (x[category == 0][:, live].astype(float), x[category != 0][:, live].astype(float))
    expected = (own.mean(0) - rest.mean(0)) / np.sqrt(own.var(0, ddof=1) / 40 + rest.var(0) / 51)
    np.testing.assert_allclose(found.score[0, live], expected, rtol=1e-9)
    welch = stats.ttest_ind(own, rest, equal_var=False).statistic
    np.testing.assert_allclose(found.score[0, live], welch, rtol=0.02)
    assert found.order[0, 0] == 3
    np.testing.assert_allclose(found.mean[0, live], own.mean(0))
    np.testing.assert_allclose(found.share[0, live], (own > 0).mean(0))
    assert (found.score[2] == 0).all()  # one cell has no variance
    assert (find_markers(x, np.zeros(91, dtype=int), np.array([0])).score == 0).all()
