import csv
import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

from mixvae.data import CellDataModule
from mixvae.data.cells import smartseq as module
from mixvae.data.cells.smartseq import import_smartseq

SAMPLES = [f"F1S4_{number}" for number in range(8)]
CLUSTERS = ["Sst Calb2", "Pvalb Tpbg", "No Class", "Sst Calb2"]
CLUSTERS += ["Low Quality L4 1", "L6 IT", "L6 IT", "Pvalb Tpbg"]
CLASSES = ["GABAergic", "GABAergic", "No Class", "GABAergic"]
CLASSES += ["Low Quality", "Glutamatergic", "Glutamatergic", "GABAergic"]
IDS = ["20604", "19293", "100039", "14415", "11461"]
SYMBOLS = ["Sst", "Pvalb", "Gm1", "Gad1", "Actb"]
KEPT = [0, 1, 3, 5, 6, 7]


def counts():
    return np.random.default_rng(0).poisson(4.0, (len(SAMPLES), len(IDS)))


def write_csv(path, rows):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def tables(tmp_path):
    """The three tables in the layout of the release, and where to write."""
    matrix = counts()
    write_csv(
        tmp_path / "exon.csv", [["", *SAMPLES], *([IDS[g], *matrix[:, g]] for g in range(len(IDS)))]
    )
    write_csv(
        tmp_path / "samples.csv",
        [
            ["sample_name", "donor", "class", "cluster"],
            *([s, "m1", c, k] for s, c, k in zip(SAMPLES, CLASSES, CLUSTERS, strict=True)),
        ],
    )
    write_csv(
        tmp_path / "genes.csv",
        [
            ["gene_symbol", "gene_id", "gene_entrez_id"],
            *([s, "x", i] for s, i in zip(SYMBOLS, IDS, strict=True)),
        ],
    )
    return {
        **{name: str(tmp_path / f"{name}.csv") for name in ("exon", "samples", "genes")},
        "out": str(tmp_path / "cells.h5ad"),
    }


def expected():
    kept = counts()[KEPT]
    return np.log1p(1e6 * kept / kept.sum(1, keepdims=True))


def test_the_file_is_that_of_the_contract(tables):
    said = import_smartseq(**tables)
    assert "6 cells, 5 genes" in said
    adata = anndata.read_h5ad(tables["out"])
    assert list(adata.obs_names) == [SAMPLES[row] for row in KEPT]
    assert list(adata.var_names) == SYMBOLS
    assert list(adata.obs["cluster"]) == [CLUSTERS[row] for row in KEPT]
    assert np.array_equal(adata.layers["counts"].toarray(), counts()[KEPT])
    np.testing.assert_allclose(adata.X.toarray(), expected(), rtol=1e-6)
    assert adata.obs["library_size"].tolist() == counts()[KEPT].sum(1).tolist()


def test_a_matrix_of_one_row_a_sample_gives_the_same(tables, tmp_path):
    import_smartseq(**tables)
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    write_csv(
        tmp_path / "turned.csv.gz", [["", *IDS], *([SAMPLES[row], *counts()[row]] for row in order)]
    )
    other = {**tables, "exon": str(tmp_path / "turned.csv.gz"), "out": str(tmp_path / "b.h5ad")}
    import_smartseq(**other)
    a, b = (anndata.read_h5ad(each["out"]) for each in (tables, other))
    assert np.array_equal(a.X.toarray(), b.X.toarray())
    pd.testing.assert_frame_equal(a.obs, b.obs)


def test_genes_are_kept_by_name_and_the_library_is_of_all(tables, tmp_path):
    (tmp_path / "list.txt").write_text("Gad1\nSst\n")
    import_smartseq(**tables, gene_list=str(tmp_path / "list.txt"))
    adata = anndata.read_h5ad(tables["out"])
    assert list(adata.var_names) == ["Gad1", "Sst"]
    np.testing.assert_allclose(adata.X.toarray(), expected()[:, [3, 0]], rtol=1e-6)


def test_samples_are_kept_by_their_columns(tables):
    import_smartseq(**tables, keep="class=GABAergic;cluster=Sst Calb2,L6 IT")
    assert list(anndata.read_h5ad(tables["out"]).obs_names) == [SAMPLES[0], SAMPLES[3]]
    import_smartseq(**tables, drop="Low", overwrite=True)
    assert anndata.read_h5ad(tables["out"]).n_obs == 7


def test_no_more_columns_are_read_than_are_kept(tables, monkeypatch):
    asked = []
    plain = module._read_csv

    def watched(path, **options):
        if "usecols" in options:  # or else the header is read
            asked.append(set(options["usecols"]))
        return plain(path, **options)

    monkeypatch.setattr(module, "_read_csv", watched)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 12)  # two genes at a time
    import_smartseq(**tables)
    assert asked[0] == {"sample_name", "class", "cluster"}
    assert asked[1] == {"gene_entrez_id", "gene_symbol"}
    assert asked[2] == {"Unnamed: 0", *(SAMPLES[row] for row in KEPT)}
    np.testing.assert_allclose(anndata.read_h5ad(tables["out"]).X.toarray(), expected(), rtol=1e-6)


def test_what_is_left_out_may_be_anything(tables, tmp_path):
    text = (tmp_path / "exon.csv").read_text().splitlines()
    rows = [line.split(",") for line in text]
    for row in rows[1:]:
        row[3] = "unread"  # a sample of no class
    write_csv(tmp_path / "exon.csv", rows)
    import_smartseq(**tables)
    assert anndata.read_h5ad(tables["out"]).n_obs == 6


@pytest.mark.parametrize("table", ["exon", "samples", "genes"])
def test_tables_that_are_missing_or_none(table, tables, tmp_path):
    path = tmp_path / f"{table}.csv"
    path.write_bytes(b"\x89HDF\xff\x00\xfe")
    with pytest.raises(ValueError, match=rf"{table}\.csv is not a CSV table"):
        import_smartseq(**tables)
    path.write_text("")
    with pytest.raises(ValueError, match=rf"{table}\.csv is not a CSV table"):
        import_smartseq(**tables)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"no file .*{table}\.csv"):
        import_smartseq(**tables)
    assert not (tmp_path / "cells.h5ad").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gene_id": "entrez"}, r"has no column 'entrez'; it has gene_symbol, gene_id"),
        ({"gene_id": "gene_symbol"}, r"5 of 5 genes .* are not in the table of genes"),
        ({"gene_name": "gene_id"}, r"gene_name names stand more than once: x"),
        ({"keep": "region=VISp"}, r"has no column 'region'; it has sample_name, donor"),
        ({"keep": "class=Glial"}, r"keep asks for class=Glial, but class of .* has GABAergic"),
        ({"keep": "class"}, r"keep has the part 'class'; write column=value"),
        ({"drop": "GABA,Glut,No,Low"}, r"of 8 samples .* none is left"),
    ],
)
def test_settings_that_fit_no_table(settings, message, tables):
    with pytest.raises(ValueError, match=message):
        import_smartseq(**tables, **settings)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("many", "holds something other than numbers"),
        ("-3", "holds -3"),
        ("1.5", r"holds 1\.5"),
        ("", "holds nan"),
    ],
)
def test_entries_that_are_no_counts(cell, message, tables, tmp_path):
    rows = [line.split(",") for line in (tmp_path / "exon.csv").read_text().splitlines()]
    rows[2][1] = cell
    write_csv(tmp_path / "exon.csv", rows)
    with pytest.raises(ValueError, match=message):
        import_smartseq(**tables)


def test_samples_that_the_matrix_lacks(tables, tmp_path):
    rows = [line.split(",") for line in (tmp_path / "exon.csv").read_text().splitlines()]
    write_csv(tmp_path / "exon.csv", [row[:-1] for row in rows])
    with pytest.raises(ValueError, match=r"1 of 6 samples are not in .*: F1S4_7"):
        import_smartseq(**tables)


def test_the_data_module_reads_it(tables):
    import_smartseq(**tables)
    data = CellDataModule(
        seed=0,
        path=tables["out"],
        label_key="cluster",
        counts_layer="counts",
        stratify=False,
        batch_size=2,
        val_fraction=0.3,
    )
    data.setup()
    assert data.spec.class_names == ("L6 IT", "Pvalb Tpbg", "Sst Calb2")
    assert data.state_dict()["kind"] == "log"
