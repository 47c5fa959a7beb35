"""Scores beside labels, baselines, and the table of real sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import cells_real


def test_the_table_has_a_row_for_each_set_and_method() -> None:
    one = {"ARI": 0.5, "NMI": 0.6, "clusters": 4.0}
    table = cells_real.tabulate(
        {
            ("a", "cpl-mixVAE"): [{**one, "consensus": 0.9, "seconds": 60.0}],
            ("a", "PCA"): [one, {**one, "ARI": 0.7}],
        }
    )
    assert "| a | cpl-mixVAE | 0.50 | 0.60 | 4.0 | 0.90 | 60 |" in table
    assert "| a | PCA | 0.60 ± 0.14 | 0.60 ± 0.00 | 4.0 ± 0.0 |  |  |" in table


@pytest.mark.slow
def test_two_types_far_apart_are_found_by_every_baseline() -> None:
    import anndata

    random = np.random.default_rng(0)
    rate = np.ones((120, 40))
    rate[:60, :20], rate[60:, 20:] = 8, 8
    cells = anndata.AnnData(random.poisson(rate).astype(np.float32))
    scores = cells_real.baselines(cells, pd.Series(["a"] * 60 + ["b"] * 60), 0)
    assert scores["Leiden, best by labels"]["ARI"] == 1.0
    assert scores["k-means, number of labels"] == {"ARI": 1.0, "NMI": 1.0, "clusters": 2}


def test_a_folder_without_cells_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cells_real.main(["--cells", str(tmp_path)])
    assert f"in --cells {tmp_path}" in capsys.readouterr().err
