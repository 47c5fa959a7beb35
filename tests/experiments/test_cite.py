"""The CITE-seq experiment on simulated cells: the whole path, and the arithmetic of its table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.cite import log_counts, main, pearson, tabulate
from mixvae.data.modalities.cite import simulate_cite


def test_correlations_are_of_columns() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 50, 3))
    expected = [np.corrcoef(a[:, n], b[:, n])[0, 1] for n in range(3)]
    np.testing.assert_allclose(pearson(a, b), expected)
    assert log_counts(np.array([[1.0, 3.0]])) == pytest.approx(np.log1p([[2500, 7500]]))


def test_tables_have_means_over_proteins_and_seeds() -> None:
    seeds = [
        {"pearson": {"MMVM": [0.2, 0.4 + seed], "ridge": [0.0, 0.0]}, "probe": {"RNA": 0.5}}
        for seed in (0.0, 0.2)
    ]
    text = tabulate(seeds, ["CD3", "CD4"])
    assert "| **mean** | 0.350 ± 0.0" in text
    assert "| CD3 | 0.200 ± 0.000 | 0.000 ± 0.000 |" in text
    assert "| RNA | 0.500 ± 0.000 |" in text


@pytest.mark.slow
def test_a_short_run_gives_every_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import anndata

    monkeypatch.chdir(tmp_path)
    rna, protein, types = (part[:400] for part in simulate_cite(0))
    ids = [f"cell{n}" for n in range(400)]
    cells = anndata.AnnData(rna, obs=pd.DataFrame({"type": pd.Categorical(types)}, index=ids))
    names = [f"CD{n}" for n in range(protein.shape[1])]
    cells.obsm["protein"] = pd.DataFrame(protein, index=ids, columns=names)
    cells.write_h5ad("cells.h5ad")
    short = ["trainer.max_epochs=1", "num_threads=1", "logger=csv", "~callbacks.figures"]
    main(["--cells", "cells.h5ad", "--seeds", "0", "--results", ".", "--overrides", *short])
    found = json.loads(Path("cite.json").read_text())["seeds"]["0"]
    assert {len(values) for values in found["pearson"].values()} == {10}
    assert "| CD9 |" in Path("cite.md").read_text()
    for measure in ("probe", "ARI, best by types", "ARI, resolution 1"):
        assert found[measure]["RNA PCs and proteins"] > 0.3
        assert "MMVM, aggregate" in found[measure]
