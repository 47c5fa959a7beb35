"""Files of cells as a data set: what is read, and every kind of bad file."""

import logging
from types import SimpleNamespace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from mixvae.data import CellDataModule
from mixvae.data.cells.backed import BackedCells
from mixvae.data.cells.source import AnnDataSource
from mixvae.data.cells.sparse import SparseRows

NUM_CELLS, NUM_GENES = 60, 12
FORMS = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


def counts():
    return np.random.default_rng(0).poisson(2.0, (NUM_CELLS, NUM_GENES)).astype(np.float32)


def cpm(matrix):
    return np.log1p(1e6 * matrix / matrix.sum(1, keepdims=True))


def make(x=None, **layers):
    """60 cells of 12 genes; X is log-CPM unless given."""
    raw = counts()
    obs = pd.DataFrame(
        {
            "cluster": pd.Categorical(["Pvalb", "Sst", "L6 IT"] * 20),
            "donor": ["d1", "d2"] * 30,
            "age": np.arange(NUM_CELLS),
        },
        index=[f"cell{number}" for number in range(NUM_CELLS)],
    )
    var = pd.DataFrame(index=[f"gene{number}" for number in range(NUM_GENES)])
    return anndata.AnnData(X=cpm(raw) if x is None else x, obs=obs, var=var, layers=layers)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an AnnData object, or the default one, and gives its path."""

    def written(adata=None, name="cells.h5ad"):
        path = tmp_path / name
        (make() if adata is None else adata).write_h5ad(path)
        return str(path)

    return written


def load(path, **settings):
    data = CellDataModule(**{"seed": 0, "path": path, "batch_size": 20, **settings})
    data.setup("fit")
    return data


def everything(data):
    """All cells in the order of the file."""
    batches = [b for split in ("train", "val", "test") for b in data.eval_dataloader(split)]
    order = torch.cat([batch.index for batch in batches]).argsort()
    present = [field for field in zip(*batches, strict=True) if field[0] is not None]
    return [torch.cat(field)[order].numpy() for field in present]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_cells(write, form, backed):
    path = write(make(FORMS[form](cpm(counts()))))
    if backed and form == "csc":
        with pytest.raises(ValueError, match="stored by columns"):
            load(path, backed=True)
        return
    data = load(path, backed=backed, chunk_rows=7, buffer_chunks=2)
    x, label, index = everything(data)
    np.testing.assert_allclose(x, cpm(counts()), rtol=1e-6)
    assert x.dtype == np.float32
    assert set(label) == {-1}
    assert index.tolist() == list(range(NUM_CELLS))
    assert data.spec.num_classes == 0
    assert data.spec.name == "cells"


def test_counts_are_normalised_and_said_to_be(write, backed, caplog):
    with caplog.at_level(logging.INFO, logger="mixvae"):
        data = load(write(make(sparse.csr_matrix(counts()))), backed=backed)
    np.testing.assert_allclose(everything(data)[0], cpm(counts()), rtol=1e-6)
    assert "holds raw counts (whole numbers, 0 or more); log(1 + 1e+06 x / library)" in caplog.text
    assert data.state_dict()["normalize"] == "log_cpm"


def test_the_median_library_of_the_training_cells_is_a_unit(write, backed):
    depth = np.linspace(0.5, 2.0, NUM_CELLS)[:, None]  # libraries that differ
    raw = np.random.default_rng(0).poisson(depth, (NUM_CELLS, NUM_GENES)).astype(np.float32)
    raw[np.arange(NUM_CELLS), np.arange(NUM_CELLS) % NUM_GENES] = 1
    data = load(write(make(raw)), backed=backed, target_sum="median")
    train = torch.cat([batch.index for batch in data.eval_dataloader("train")]).numpy()
    median = np.median(raw[train].sum(1))
    wanted = np.log1p(median * raw / raw.sum(1, keepdims=True))
    np.testing.assert_allclose(everything(data)[0], wanted, rtol=1e-5)
    # A checkpoint names the number, by which other files are prepared.
    assert data.state_dict()["target_sum"] == median
    # Log data and expression of one sum get the unit of the counts that they were made of.
    for number, values in enumerate((cpm(raw), np.expm1(cpm(raw)) / 1e6)):
        same = load(write(make(values), f"{number}.h5ad"), backed=backed, target_sum="median")
        np.testing.assert_allclose(everything(same)[0], everything(data)[0], rtol=1e-3)


@pytest.mark.parametrize(("scale", "unit"), [(1.0, 1e4), (700.0, 700.0), (1e6, 1e4)])
def test_where_nothing_tells_the_counts_the_unit_is_ten_thousand_or_less(write, scale, unit):
    shares = np.random.default_rng(0).dirichlet(np.ones(NUM_GENES), NUM_CELLS)
    path = write(make(np.log1p(scale * shares)))
    applied = load(path, target_sum="median").state_dict()
    assert (applied["target_sum"] or scale) == pytest.approx(unit, rel=1e-4)


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_empty_cells_and_a_gene_with_most_counts_are_warned_of(write, backed, form, caplog):
    raw = counts()
    raw[:3] = 0
    raw[3:, 1] = 10 * raw.sum()
    load(write(make(FORMS[form](raw))), backed=backed)
    assert f"3 of {NUM_CELLS} cells of X of " in caplog.text
    assert "the gene gene1 has 100 % of the expression" in caplog.text


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_log_data_of_another_scale_are_rescaled_unless_they_are_to_stay(
    write, form, backed, caplog
):
    path = write(make(FORMS[form](cpm(counts()))))
    settings = {"target_sum": 1e4, "backed": backed}
    with caplog.at_level(logging.INFO, logger="mixvae"):
        as_they_are, made = (
            load(path, normalize=normalize, **settings) for normalize in ("none", "auto")
        )
    np.testing.assert_allclose(everything(as_they_are)[0], cpm(counts()), rtol=1e-6)
    assert "of 1e+06; it is left as it is" in caplog.text
    assert "of 1e+06; it is made that of 10000" in caplog.text
    wanted = load(write(make(counts()), "raw.h5ad"), **settings)
    np.testing.assert_allclose(everything(made)[0], everything(wanted)[0], rtol=1e-5)
    assert (made.state_dict()["kind"], made.state_dict()["normalize"]) == ("log", "log_cpm")
    chosen = load(path, num_highly_variable=5, **settings)
    same = load(str(wanted.path), num_highly_variable=5, **settings)
    assert chosen.spec.feature_names == same.spec.feature_names


def test_sparse_cells_stay_sparse_in_memory(write):
    data = load(write(make(sparse.csr_matrix(counts()))))
    assert isinstance(data.table.cells.x, SparseRows)
    assert isinstance(load(data.path, backed=True).table.cells, BackedCells)


def test_a_layer_is_read_and_counts_beside_it(write, backed):
    path = write(make(np.zeros((NUM_CELLS, NUM_GENES)), spliced=counts(), logged=cpm(counts())))
    data = load(path, layer="logged", counts_layer="spliced", label_key="cluster", backed=backed)
    x, label, _, raw = everything(data)
    np.testing.assert_allclose(x, cpm(counts()), rtol=1e-6)
    assert np.array_equal(raw, counts())
    assert data.spec.class_names == ("L6 IT", "Pvalb", "Sst")
    assert [data.spec.class_names[k] for k in label[:3]] == ["Pvalb", "Sst", "L6 IT"]


def test_the_library_counts_all_genes_though_few_are_kept(write, tmp_path, backed):
    (tmp_path / "genes.txt").write_text("gene9\ngene2\n")
    data = load(
        write(make(counts())), genes=str(tmp_path / "genes.txt"), counts_layer="X", backed=backed
    )
    assert data.spec.feature_names == ("gene9", "gene2")
    x, _, _, raw = everything(data)
    np.testing.assert_allclose(x, cpm(counts())[:, [9, 2]], rtol=1e-6)
    assert np.array_equal(raw, counts()[:, [9, 2]])


def test_the_share_of_the_counts_that_chosen_genes_hold_is_told(write, tmp_path, caplog, backed):
    (tmp_path / "genes.txt").write_text("gene9\ngene2\n")
    raw = counts()
    path, listed = write(make(raw)), str(tmp_path / "genes.txt")
    data = load(path, genes=listed, counts_layer="X", backed=backed)
    rows = data.read_splits()["train"].rows.numpy()
    share = raw[rows][:, [9, 2]].sum() / raw[rows].sum()
    assert f"the 2 genes chosen hold {100 * share:.0f} % of the raw counts" in caplog.text
    caplog.clear()
    load(path, genes=listed, backed=backed)  # no counts, no likelihood of them
    load(path, counts_layer="X", backed=backed)
    assert "genes chosen hold" not in caplog.text


def test_highly_variable_genes_are_those_of_the_training_cells(write, backed):
    raw = counts()
    data = load(write(make(raw)), num_highly_variable=5, batch_key="donor", backed=backed)
    train = torch.cat([batch.index for batch in data.eval_dataloader("train")]).numpy()
    assert len(data.spec.feature_names) == 5
    assert data.batch_labels == ["d1", "d2"] * 30
    held_out = np.setdiff1d(np.arange(NUM_CELLS), train)
    raw[held_out] = raw[held_out][:, ::-1]  # what other cells hold has no say
    again = load(write(make(raw), "other.h5ad"), num_highly_variable=5, batch_key="donor")
    assert again.spec.feature_names == data.spec.feature_names


def test_constant_genes_are_left_out_and_named(write, backed, caplog):
    x = cpm(counts())
    x[:, 3], x[:, 5] = 0.0, 1.5
    data = load(write(make(x)), num_highly_variable=4, backed=backed)
    assert not {"gene3", "gene5"} & set(load(data.path).spec.feature_names)
    assert "2 genes are the same in all cells and left out: gene3, gene5" in caplog.text
    # A panel smaller than the number is taken whole.
    assert len(load(data.path, num_highly_variable=11, backed=backed).spec.feature_names) == 10


def test_missing_listed_genes_are_left_out_and_named(write, tmp_path, caplog):
    (tmp_path / "genes.txt").write_text("\n".join(["gene1", "gene2", "Pvalb"]))
    path, listed = write(), str(tmp_path / "genes.txt")
    assert load(path, genes=listed, max_missing=0.5).spec.feature_names == ("gene1", "gene2")
    assert "1 of 3 wanted genes are missing and left out: Pvalb" in caplog.text
    with pytest.raises(ValueError, match=r"1 of 3 wanted genes are missing.*: Pvalb"):
        load(path, genes=listed)


def test_labels_change_nothing_but_the_split(write):
    path = write()
    plain, labelled = load(path, stratify=False), load(path, stratify=False, label_key="cluster")
    for a, b in zip(plain.train_dataloader(), labelled.train_dataloader(), strict=True):
        assert torch.equal(a.x, b.x)


def test_the_built_in_cells_need_no_file():
    data = CellDataModule(seed=0)
    data.setup()
    assert data.spec.name == "pbmc68k_reduced"
    assert data.spec.shape == (765,)
    assert data.spec.num_classes == 10
    assert data.state_dict()["kind"] == "log"
    sizes = [len(data._splits[split].rows) for split in ("train", "val", "test")]
    assert sizes == [503, 55, 142]


# --- Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "gene,cell1\nSst,3\n"])
def test_not_an_h5ad(tmp_path, content):
    path = tmp_path / "cells.h5ad"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"cells\.h5ad cannot be read: it is not an AnnData file"):
        load(str(path))
    with h5py.File(path, "w") as file:
        file["X"] = np.zeros(3)
    with pytest.raises(ValueError, match="it is not an AnnData file"):
        load(str(path))


@pytest.mark.parametrize("share", [0.02, 0.6, 0.99])
def test_truncated_files(write, share, backed):
    path = write(make(sparse.csr_matrix(counts())))
    with open(path, "r+b") as file:
        file.seek(0, 2)
        file.truncate(int(share * file.tell()))
    with pytest.raises(ValueError, match=r"cells\.h5ad"):
        load(path, backed=backed)


def test_scaled_data_are_told_and_no_logarithm_is_taken(write, caplog):
    x = counts() - 2.5
    path = write(make(x))
    np.testing.assert_allclose(everything(load(path))[0], x)
    assert "holds scaled expression (negative values, such as z-scores)" in caplog.text
    with pytest.raises(ValueError, match="normalize is log_cpm but X of"):
        load(path, normalize="log_cpm")
    with pytest.raises(ValueError, match="num_highly_variable needs log-normalised"):
        load(path, num_highly_variable=3)


def bad(form=np.asarray, **values):
    """60 cells with some values at cell 40 and gene 2: of X, or of a layer of counts."""
    x, raw = cpm(counts()), counts()
    x[40, 2], raw[40, 2] = values.get("x", x[40, 2]), values.get("counts", raw[40, 2])
    return make(form(x), counts=raw)


def named(axis):
    """60 cells of which two genes or cells have one name."""
    adata = make()
    names = list(getattr(adata, axis))
    setattr(adata, axis, [names[1], *names[1:]])
    return adata


def few_counts():
    """60 cells whose counts lack genes that `raw` has."""
    adata = make(counts=counts())
    adata.raw = adata
    return adata[:, :8].copy()


@pytest.mark.filterwarnings("ignore:.*names are not unique")
@pytest.mark.parametrize(
    ("adata", "settings", "message"),
    [
        (bad(x=np.nan), {}, "X of .* holds nan; every value must be finite"),
        (bad(sparse.csr_matrix, x=np.inf), {}, "X of .* holds inf"),
        (bad(counts=-1), {"counts_layer": "counts"}, "counts of .* holds -1; counts must be 0"),
        (bad(counts=-1), {"layer": "counts"}, "holds whole numbers, .* but also -1; counts are 0"),
        (make(), {"counts_layer": "X"}, "counts must be whole numbers: name the layer"),
        (make()[:0].copy(), {}, "0 cells are too few"),
        (make()[:, :0].copy(), {}, "has no cells or no genes"),
        (make(np.ones((NUM_CELLS, NUM_GENES))), {}, "each of the 12 genes is the same"),
        (bad(), {"layer": "spliced"}, r"has no matrix 'spliced'; it has X, counts"),
        (bad(), {"counts_layer": "umis"}, r"has no matrix 'umis'; it has X, counts"),
        (bad(), {"layer": "raw"}, r"has no matrix 'raw'; it has X, counts"),
        (named("var_names"), {}, "1 gene names stand more than once: gene1;"),
        (named("obs_names"), {}, "1 cell names stand more than once: cell1;"),
        (
            few_counts(),
            {"layer": "raw", "counts_layer": "counts"},
            "lacks 4 of the 12 genes",
        ),
        (make(), {"genes": "no.txt"}, r"data\.genes is 'no\.txt', but there is no such file"),
        (make(), {"label_key": "type"}, r"label_key is 'type', .*; it has cluster, donor, age"),
        (make(), {"label_key": "empty"}, "label_key is 'empty', but no cell has a value"),
        (make(), {"batch_key": "mouse"}, "batch_key is 'mouse', but 30 of 60 cells have no value"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(write, adata, settings, message, backed):
    columns = {"empty": np.nan, "mouse": ["m1", None] * 30}
    for column in {*settings.values()} & {*columns}:
        adata.obs[column] = columns[column]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load(write(adata), backed=backed, **settings)


def test_x_among_the_layers_of_anndata_0_13_is_no_layer_without_a_name():
    adata = make(counts=counts())
    of_0_13 = SimpleNamespace(
        X=adata.X,
        raw=None,
        obs=adata.obs,
        obs_names=adata.obs_names,
        var_names=adata.var_names,
        layers={None: adata.X, "counts": adata.layers["counts"]},
    )
    source = AnnDataSource(of_0_13, "pbmc")
    with pytest.raises(ValueError, match=r"it has X, counts: data\.layer=counts$"):
        source.matrix("count")
    assert np.array_equal(source.matrix("counts").read(0, NUM_CELLS), counts())
