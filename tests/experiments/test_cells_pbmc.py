"""Scores beside labels, and baselines on the bundled cells."""

from __future__ import annotations

import pytest

from experiments import cells_pbmc


def test_score_of_the_labels_themselves_is_one() -> None:
    found = cells_pbmc.score(["a", "a", "b"], [1, 1, 0])
    assert found == {"ARI": 1.0, "NMI": pytest.approx(1.0), "clusters": 2}


@pytest.mark.slow
def test_baselines_find_what_the_labels_say_in_part() -> None:
    cells = cells_pbmc.read_cells()
    scores = cells_pbmc.baselines(cells, 0, 5)
    assert scores["Leiden, best resolution"]["ARI"] > 0.3
    assert scores["k-means, as many as ours"]["clusters"] == 5
