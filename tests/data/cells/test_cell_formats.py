"""Files of cells as biologists have them: formats, names of matrices, genes and labels."""

from __future__ import annotations

import gzip
import logging
import shutil
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import io, sparse

from mixvae.data import CellDataModule
from mixvae.data.cells.formats import CellFile
from mixvae.data.files.gene_names import as_flags, without_versions
from mixvae.data.files.given import giving, name_of

N, G = 60, 12
IDS = [f"ENSG{i:011d}" for i in range(G)]
COUNTS = np.random.default_rng(0).poisson(2.0, (N, G)).astype(np.float32)
LOG = np.log1p(1e4 * COUNTS / COUNTS.sum(1, keepdims=True))


def make(x=COUNTS, **layers):
    obs = pd.DataFrame(
        {"type": pd.Categorical(["a", "b", "c"] * 20)}, index=[f"cell{i}" for i in range(N)]
    )
    var = pd.DataFrame({"symbol": [f"S{i}" for i in range(G)]}, index=[f"g{i}" for i in range(G)])
    return anndata.AnnData(x.copy(), obs=obs, var=var, layers=layers)


def load(path, **settings):
    options = {"seed": 0, "batch_size": 20, "target_sum": 1e4, **settings}
    data = CellDataModule(path=str(path), **options)
    data.setup("fit")
    return data


def expression(data):
    rows = np.arange(N)
    import torch

    return data.table.cells.batch(torch.from_numpy(rows)).x.numpy()


# --- Formats -----------------------------------------------------------------------------------


def write_10x_h5(path):
    x = sparse.csc_matrix(COUNTS.T)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(x, name).astype(np.int64)
        group["shape"] = np.array(x.shape)
        group["barcodes"] = np.array([f"cell{i}" for i in range(N)], dtype="S")
        features = group.create_group("features")
        features["id"] = np.array(IDS, dtype="S")
        features["name"] = np.array([f"g{max(i, 1)}" for i in range(G)], dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * G, dtype="S")
        features["genome"] = np.array(["hg38"] * G, dtype="S")
    return path


def test_features_of_other_kinds_are_left_out_and_told(tmp_path, caplog):
    kinds = np.array(["Gene Expression"] * 9 + ["Peaks"] * 3, dtype="S")
    with h5py.File(write_10x_h5(tmp_path / "multi.h5"), "r+") as file:
        file["matrix/features/feature_type"][:] = kinds
    caplog.set_level("INFO", "mixvae")
    assert load(tmp_path / "multi.h5").spec.shape == (9,)
    assert "3 features of Peaks are left out" in caplog.text
    with h5py.File(tmp_path / "multi.h5", "r+") as file:
        file["matrix/features/feature_type"][:] = kinds[-1]
    with pytest.raises(ValueError, match=r"^multi\.h5 has features of Peaks, but none of gene"):
        load(tmp_path / "multi.h5")


def write_mtx(folder, features, packed, prefix=""):
    folder.mkdir(exist_ok=True)
    with (folder / "m.mtx").open("wb") as file:
        io.mmwrite(file, sparse.coo_matrix(COUNTS.T.astype(np.int64)))
    ending = "\tGene Expression" if features == "features.tsv" else ""
    lines = {
        "matrix.mtx": (folder / "m.mtx").read_bytes(),
        "barcodes.tsv": "".join(f"cell{i}\n" for i in range(N)).encode(),
        features: "".join(f"{IDS[i]}\tg{max(i, 1)}{ending}\n" for i in range(G)).encode(),
    }
    (folder / "m.mtx").unlink()
    for name, content in lines.items():
        name = prefix + name + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(content) if packed else content)
    return folder


def test_10x_hdf5_and_the_symbols_that_stand_twice(tmp_path):
    data = load(write_10x_h5(tmp_path / "filtered.h5"))
    np.testing.assert_allclose(expression(data), LOG, rtol=1e-5)
    assert data.spec.feature_names[:3] == (f"g1_{IDS[0]}", f"g1_{IDS[1]}", "g2")
    assert load(tmp_path / "filtered.h5", gene_names="gene_ids").spec.feature_names[0] == IDS[0]
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["GRCh38/barcodes"] = file["mm10/barcodes"] = np.array(["cell0"], dtype="S")
    with pytest.raises(ValueError, match=r"^\S*old\.h5 has the genomes GRCh38, mm10; in Python"):
        load(tmp_path / "old.h5")


@pytest.mark.parametrize("features", ["genes.tsv", "features.tsv"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("prefix", ["", "GSM1_"])
def test_folders_of_matrix_mtx(tmp_path, features, packed, prefix):
    data = load(write_mtx(tmp_path / "10x", features, packed, prefix))
    np.testing.assert_allclose(expression(data), LOG, rtol=1e-5)
    assert data.spec.feature_names[0] == f"g1_{IDS[0]}"
    if packed:
        matrix = tmp_path / "10x" / f"{prefix}matrix.mtx.gz"
        np.testing.assert_allclose(expression(load(matrix)), LOG, rtol=1e-5)
    if prefix:
        with pytest.raises(ValueError, match=r"^\S*10x has 2 matrices .*GSM2_.*; name one of them"):
            load(write_mtx(tmp_path / "10x", features, packed, "GSM2_"))


def test_features_that_are_not_genes_are_left_out(tmp_path):
    folder = write_mtx(tmp_path / "10x", "features.tsv", False)
    lines = (folder / "features.tsv").read_text().splitlines()
    lines[-1] = "CD3\tCD3\tAntibody Capture"
    (folder / "features.tsv").write_text("\n".join(lines))
    assert load(folder).spec.shape == (G - 1,)
    (folder / "features.tsv").write_text("\n".join(lines[:-2]))
    with pytest.raises(ValueError, match=r"60 cells and 12 genes, but .* features\.tsv 10"):
        load(folder)
    (folder / "barcodes.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no barcodes\.tsv"):
        load(folder)


def test_packed_h5ad(tmp_path):
    make().write_h5ad(tmp_path / "a.h5ad")
    content = gzip.compress((tmp_path / "a.h5ad").read_bytes())
    (tmp_path / "a.h5ad.gz").write_bytes(content)
    np.testing.assert_allclose(expression(load(tmp_path / "a.h5ad.gz")), LOG, rtol=1e-5)
    (tmp_path / "b.h5ad.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"b\.h5ad\.gz cannot be read"):
        load(tmp_path / "b.h5ad.gz")


def write_h5mu(path, *modalities):
    """MuData's layout: an AnnData group for each modality, and obs and var of all."""
    with h5py.File(path, "w") as file:
        for name in modalities:
            anndata.io.write_elem(file.require_group("mod"), name, make())
        anndata.io.write_elem(file, "obs", make().obs)
        anndata.io.write_elem(file, "var", make().var)
    return path


@pytest.mark.filterwarnings("ignore:Forward slashes")
def test_a_modality_of_mudata(tmp_path, backed):
    path = write_h5mu(tmp_path / "both.h5mu", "rna", "atac")
    data = load(path, modality="rna", backed=backed)
    np.testing.assert_allclose(expression(data), LOG, rtol=1e-5)
    with pytest.raises(ValueError, match=r"choose one: .* modalities atac, rna; set data\.mod"):
        load(path)
    with pytest.raises(ValueError, match=r"data\.modality is 'adt', but .* atac, rna"):
        load(path, modality="adt")
    load(write_h5mu(tmp_path / "one.h5mu", "rna"))
    make().write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match=r"data\.modality is 'rna', but .* has no modalities"):
        load(tmp_path / "a.h5ad", modality="rna")


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_mudata_wrote(tmp_path):
    mudata = pytest.importorskip("mudata")
    mudata.MuData({"rna": make(), "adt": make(LOG)}).write(tmp_path / "m.h5mu")
    np.testing.assert_allclose(
        expression(load(tmp_path / "m.h5mu", modality="rna")), LOG, rtol=1e-5
    )


def test_a_modality_of_a_zarr_store(zarr_store, backed):
    store = zarr_store(make(), "m.zarr/mod/rna").parents[1]
    zarr_store(make(LOG), "m.zarr/mod/adt")
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    data = load(store, modality="rna", backed=backed)
    np.testing.assert_allclose(expression(data), LOG, rtol=1e-5)
    with pytest.raises(ValueError, match=r"choose one: .* adt, rna; set data\.modality=rna"):
        load(store, backed=backed)
    with pytest.raises(ValueError, match=r"is a folder without cells: .*such as .*m\.zarr"):
        load(store.parent, backed=backed)


def test_loom(tmp_path):
    pytest.importorskip("loompy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(sparse.csr_matrix(COUNTS)).write_loom(tmp_path / "a.loom")
    with h5py.File(tmp_path / "a.loom", "r+") as file:  # as loompy's own files name them
        file["row_attrs"].move("var_names", "Gene")
        file["col_attrs"].move("obs_names", "CellID")
    data = load(tmp_path / "a.loom", label_key="type")
    np.testing.assert_allclose(expression(data), LOG, rtol=1e-5)
    assert data.spec.feature_names[0] == "g0"
    assert data.spec.class_names == ("a", "b", "c")


@pytest.fixture
def zarr_store(tmp_path):
    pytest.importorskip("zarr")

    def write(adata, name="a.zarr"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata.write_zarr(tmp_path / name)
        return tmp_path / name

    return write


def test_a_zarr_store_is_read_whole_or_stays_on_disk(zarr_store, form):
    path = zarr_store(make(form(COUNTS)))
    np.testing.assert_allclose(expression(load(path, label_key="type")), LOG, rtol=1e-5)
    backed = load(path, backed=True, label_key="type", chunk_rows=7, buffer_chunks=2)
    np.testing.assert_allclose(expression(backed), LOG, rtol=1e-5)
    assert backed.spec.class_names == ("a", "b", "c")
    # Files of a store are replaced as wholes.
    chunk = next(file for file in path.rglob("*") if file.is_file() and "X" in file.parts)
    shutil.copy(chunk, chunk.with_suffix(".new"))
    chunk.with_suffix(".new").replace(chunk)
    with pytest.raises(ValueError, match=r"a\.zarr was changed while it was read"):
        expression(backed)


@pytest.mark.parametrize(
    "lost", ["var", "X/data", "X/indptr", "obs/_index", "X/data/c", "X/data/0"]
)
def test_a_half_written_zarr_store_is_refused(zarr_store, lost):
    path = zarr_store(make(sparse.csr_matrix(COUNTS)))
    if not (path / lost).exists():
        pytest.skip("the other version of zarr")
    if (path / lost).is_dir():
        shutil.rmtree(path / lost)
    else:
        (path / lost).unlink()
    with pytest.raises(ValueError, match=r"a\.zarr cannot be read .* half written"):
        load(path)
    shutil.rmtree(path)
    path.mkdir()
    with pytest.raises(ValueError, match="as a zarr store it is half written"):
        load(path)


def test_a_damaged_part_is_named_with_its_file(tmp_path, zarr_store, backed):
    path = tmp_path / "a.h5ad"
    make(sparse.csr_matrix(COUNTS)).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["X/indices"][5] = G
    with pytest.raises(ValueError, match=rf"X of {path} is truncated or broken: .* {G} of {G}"):
        load(path, backed=backed)
    store = zarr_store(make())
    for part in ("X", "obs/type/codes"):
        chunk = max((store / part).rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
        if chunk.name.endswith((".json", ".zarray", ".zattrs")):
            chunk = next(p for p in (store / part).rglob("*0") if p.is_file())
        chunk.write_bytes(chunk.read_bytes()[:9])
        with pytest.raises(ValueError, match=rf"(X|obs/type) of {store} is truncated or broken"):
            load(store, backed=backed, label_key=None if part == "X" else "type")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a.rds", "write an .h5ad in R"),
        ("a.csv", "scanpy.read_csv"),
        ("a.tsv.gz", "scanpy.read_csv"),
        ("a.xlsx", "scanpy.read_excel"),
        ("a.tar.gz", "unpack it first"),
        ("a.bam", "mixvae reads .h5ad"),
    ],
)
def test_other_files_are_refused_with_the_line_that_helps(tmp_path, name, remedy):
    content = b"x,y\n1,2\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ValueError, match=remedy.replace(".", r"\.")):
        load(tmp_path / name)


def test_files_of_seurat_and_addresses_are_refused_with_what_to_do(tmp_path):
    with h5py.File(tmp_path / "a.h5seurat", "w") as file:
        file.create_group("assays")
    with pytest.raises(ValueError, match=r"write an \.h5ad in R"):
        load(tmp_path / "a.h5seurat")
    with pytest.raises(FileNotFoundError, match="an address is not read: download it"):
        load("https://example.org/a.h5ad")
    with pytest.raises(FileNotFoundError, match=r"a pattern is not read: .*\[a\.h5ad,b\.h5ad\]"):
        load(tmp_path / "*.h5ad")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    import mixvae.data.files.anndata_files as module

    def missing(name):
        raise ImportError(name)

    with h5py.File(tmp_path / "a.loom", "w") as file:
        for name in ("row_attrs", "col_attrs", "matrix"):
            file.create_group(name)
    real = module.import_module
    monkeypatch.setattr(module, "import_module", lambda n: missing(n) if n == "loompy" else real(n))
    with pytest.raises(ImportError, match=r"loom files need loompy, .*: pip install loompy"):
        load(tmp_path / "a.loom")


# --- Matrices, genes and labels ----------------------------------------------------------------


def test_raw_is_adata_raw_and_layers_raw_the_layer(tmp_path, backed):
    adata = make(LOG, raw=COUNTS, X=COUNTS)
    adata.write_h5ad(tmp_path / "layer.h5ad")
    options = {"backed": backed}
    for name in ("raw", "layers/raw"):
        data = load(tmp_path / "layer.h5ad", layer=name, **options)
        assert data.table.preparation.layer == "layers/raw"
        np.testing.assert_allclose(expression(data), LOG, rtol=1e-5)
    assert load(tmp_path / "layer.h5ad", layer="X", **options).table.preparation.kind == "log"
    adata.raw = make(LOG)[:, :5].copy()
    adata.write_h5ad(tmp_path / "both.h5ad")
    assert load(tmp_path / "both.h5ad", layer="raw", **options).spec.shape == (5,)
    assert load(tmp_path / "both.h5ad", layer="layers/raw", **options).spec.shape == (G,)
    del adata.layers["raw"]
    adata.write_h5ad(tmp_path / "raw.h5ad")
    with pytest.raises(ValueError, match="has no matrix 'layers/raw'; it has X, raw, layers/X"):
        load(tmp_path / "raw.h5ad", layer="layers/raw", **options)


def test_a_layer_whose_name_has_a_slash_as_older_anndata_wrote_it(tmp_path, backed):
    make(LOG, counts=COUNTS).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file.move("layers/counts", "layers/rna/counts")
    data = load(tmp_path / "a.h5ad", layer="rna/counts", backed=backed)
    np.testing.assert_allclose(expression(data), LOG, rtol=1e-5)
    with pytest.raises(ValueError, match="no matrix 'rna'; it has X, rna/counts"):
        load(tmp_path / "a.h5ad", layer="rna", backed=backed)


def test_indices_and_labels_of_nullable_strings(tmp_path, backed):
    adata = make()
    adata.obs.index = adata.obs.index.astype("string")
    adata.var.index = adata.var.index.astype("string")
    adata.obs["word"] = pd.array(["x", pd.NA, "y"] * 20, dtype="string")
    with anndata.settings.override(allow_write_nullable_strings=True):
        adata.write_h5ad(tmp_path / "a.h5ad")
    data = load(tmp_path / "a.h5ad", label_key="word", backed=backed)
    assert data.spec.feature_names[0] == "g0"
    assert data.spec.class_names == ("x", "y")
    assert data.table.label[:3].tolist() == [0, -1, 1]


def write_0_7(path, adata):
    """The layout of anndata 0.7: categoricals are codes that refer to `__categories`."""
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        column = obs["type"]
        codes, words = column["codes"][:], column["categories"][:]
        codes[3] = -1
        del obs["type"]
        obs.create_group("__categories")["type"] = words
        obs["type"] = codes
        obs["type"].attrs["categories"] = obs["__categories/type"].ref
        obs.attrs["encoding-version"] = "0.1.0"
        for attribute in ("encoding-type", "encoding-version"):
            file.attrs.pop(attribute, None)
    return path


def test_labels_of_anndata_0_7_are_words(tmp_path, backed):
    data = load(write_0_7(tmp_path / "old.h5ad", make()), label_key="type", backed=backed)
    assert data.spec.class_names == ("a", "b", "c")
    assert data.table.label[:4].tolist() == [0, 1, 2, -1]


def test_ensembl_versions_are_stripped_where_ids_stay_distinct():
    ids = ["ENSG00000141510.18", "ENSMUSG00000059552.15", "RP11-34.2", "ENSG00000000001.1"]
    assert without_versions(ids)[:3] == ["ENSG00000141510", "ENSMUSG00000059552", "RP11-34.2"]
    twice = ["ENSG00000000001.1", "ENSG00000000001.2"]
    assert without_versions(twice) == twice


def test_genes_are_named_by_a_column_of_var(tmp_path, backed):
    adata = make()
    adata.var_names = [f"{name}.{i}" for i, name in enumerate(IDS)]
    adata.var["symbol"] = ["A", "A", *adata.var["symbol"][2:-1], None]
    adata.raw = adata.copy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert load(tmp_path / "a.h5ad", backed=backed).spec.feature_names == tuple(IDS)
    for layer in ("X", "raw"):
        data = load(tmp_path / "a.h5ad", gene_names="symbol", layer=layer, backed=backed)
        names = data.spec.feature_names
        assert names[:3] == (f"A_{IDS[0]}", f"A_{IDS[1]}", "S2")
        assert names[-1] == IDS[-1]
        assert data.state_dict()["gene_names"] == "symbol"
    with pytest.raises(ValueError, match=r"data\.gene_names is 'name', but var .* it has symbol"):
        load(tmp_path / "a.h5ad", gene_names="name", backed=backed)


@pytest.mark.parametrize("layer", ["X", "raw"])
def test_genes_are_those_that_a_column_of_var_marks(tmp_path, layer):
    adata = make()
    adata.raw = adata.copy()
    adata.var["highly_variable"] = np.arange(G) < 4
    adata.var["none"] = False
    adata.write_h5ad(tmp_path / "a.h5ad")
    data = load(tmp_path / "a.h5ad", genes="highly_variable", layer=layer)
    assert data.spec.feature_names == ("g0", "g1", "g2", "g3")
    np.testing.assert_allclose(expression(data), LOG[:, :4], rtol=1e-5)  # library of all genes
    with pytest.raises(ValueError, match="symbol', but that column of var holds 'S0', not true"):
        load(tmp_path / "a.h5ad", genes="symbol")
    with pytest.raises(ValueError, match="genes=none marks no gene"):
        load(tmp_path / "a.h5ad", genes="none")


def test_flags_of_any_kind():
    assert as_flags(pd.array([True, None, False], dtype="boolean")) == [True, False, False]
    assert as_flags(np.array([1, 0])) == [True, False]
    assert as_flags(pd.Categorical(["True", "False"])) == [True, False]
    assert as_flags(np.array([1, 2])) is None


@pytest.mark.filterwarnings("ignore:.*names are not unique")
def test_duplicates_in_raw_are_refused_with_a_remedy_that_reaches_raw(tmp_path):
    adata = make()
    adata.var_names = ["A", "A", *adata.var_names[2:]]
    adata.raw = adata.copy()
    adata.var_names_make_unique()
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match=r"A, which .* does not reach.*adata\.raw\.var\.index ="):
        load(tmp_path / "a.h5ad", layer="raw")
    adata.raw.var.index = anndata.utils.make_index_unique(adata.raw.var_names)
    adata.write_h5ad(tmp_path / "b.h5ad")
    assert load(tmp_path / "b.h5ad", layer="raw").spec.shape == (G,)


def test_scaled_x_names_what_to_use(tmp_path, caplog, backed):
    adata = make(LOG - LOG.mean(0), counts=COUNTS)
    adata.raw = make(LOG)
    adata.write_h5ad(tmp_path / "a.h5ad")
    load(tmp_path / "a.h5ad", backed=backed)
    assert "data.layer=raw holds log-normalised expression" in caplog.text
    assert "data.layer=counts holds raw counts" in caplog.text
    with pytest.raises(ValueError, match=r"data\.layer=raw holds log"):
        load(tmp_path / "a.h5ad", num_highly_variable=4, backed=backed)


def test_small_sets_and_rare_classes_do_not_stop_a_run(tmp_path, caplog):
    adata = make()
    adata.obs["type"] = ["once", "twice", "twice"] + ["a", "b", "c"] * 19
    adata.write_h5ad(tmp_path / "a.h5ad")
    with caplog.at_level(logging.INFO, logger="mixvae"):
        data = load(tmp_path / "a.h5ad", label_key="type", batch_size=250)
    assert data.spec.class_names == ("a", "b", "c", "once", "twice")
    assert (data.batch_size, len(data.read_splits()["train"].rows)) == (20, 41)
    assert "batch_size is 20 instead of 250, as there are 41 training cells" in caplog.text
    assert caplog.text.count("classes of fewer than 3 cells") == 1
    assert ": once, twice" in caplog.text


def test_a_file_of_anndata_before_0_7_is_read_whole_or_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["X"] = COUNTS
        file["obs"] = np.array([(f"c{i}".encode(),) for i in range(N)], dtype=[("index", "S9")])
        file["var"] = np.array([(f"g{i}".encode(),) for i in range(G)], dtype=[("index", "S9")])
    assert CellFile(tmp_path / "a.h5ad").format == "old"
    assert load(tmp_path / "a.h5ad").spec.feature_names[0] == "g0"


def test_expected_counts_are_counts_and_rounded_for_likelihoods_of_counts(
    tmp_path, backed, form, caplog
):
    expected = np.where(COUNTS > 0, COUNTS + 0.25, 0).astype(np.float32)
    make(form(expected)).write_h5ad(tmp_path / "a.h5ad")
    data = load(tmp_path / "a.h5ad", counts_layer="X", backed=backed)
    wanted = np.log1p(1e4 * expected / expected.sum(1, keepdims=True))
    np.testing.assert_allclose(expression(data), wanted, rtol=1e-5)
    import torch

    batch = data.table.cells.batch(torch.arange(N))
    np.testing.assert_array_equal(batch.counts.numpy(), COUNTS)
    assert "expected counts that are not whole; likelihoods see them rounded" in caplog.text


def test_log_data_are_no_counts(tmp_path):
    few = LOG[:, :8]  # no sum in common
    for x in (LOG, few, np.log1p(COUNTS)):
        adata = make(LOG)[:, : x.shape[1]].copy()
        adata.X = x
        adata.write_h5ad(tmp_path / "a.h5ad")
        assert load(tmp_path / "a.h5ad").table.preparation.kind == "log"
        with pytest.raises(ValueError, match="counts must be whole numbers: name the layer"):
            load(tmp_path / "a.h5ad", counts_layer="X")


# --- What else users have ----------------------------------------------------------------------


def given(adata, labels=None, **settings):
    """Cells from Python."""
    objects = {}
    for key, value in CellDataModule.take(adata, labels).items():
        settings[key] = value if isinstance(value, str) else name_of(value)
        objects[settings[key]] = value
    with giving(objects):
        data = CellDataModule(seed=0, batch_size=20, target_sum=1e4, **settings)
        data.setup("fit")
    return data


TYPES = np.array(["a", "b", "c"] * 20)
CODES = np.arange(N) % 3
LABELS = {
    "words of missing values": (["nan", "", "NA", *TYPES[3:]], ("a", "b", "c"), [-1, -1, -1, 0]),
    "floats of missing values": ([np.nan, *CODES[1:]], ("0", "1", "2"), [-1, 1, 2, 0]),
    "categories of numbers": (
        pd.Categorical([None, *CODES[1:].tolist()]), ("0", "1", "2"), [-1, 1, 2, 0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_have_no_value(tmp_path, case, caplog):
    column, names, first = LABELS[case]
    adata = make()
    adata.obs["own"] = column
    adata.write_h5ad(tmp_path / "a.h5ad")
    caplog.set_level("INFO", "mixvae")
    for data in (load(tmp_path / "a.h5ad", label_key="own"), given(adata, "own")):
        assert data.spec.class_names == names
        assert data.table.label[:4].tolist() == first
    assert ("cells with '' or 'NA' or 'nan' there" in caplog.text) == case.startswith("words")


def test_labels_with_names_of_cells_are_put_in_their_order():
    adata = make()
    for labels in (
        adata.obs["type"].iloc[::-1],
        adata.obs[["type"]].sample(frac=1, random_state=0),
        list(TYPES),
        pd.Series(TYPES),
        TYPES.astype("S"),
    ):
        assert given(adata, labels).table.label.tolist() == CODES.tolist()
    assert given(adata, np.eye(3)[CODES]).table.label.tolist() == CODES.tolist()
    with pytest.raises(ValueError, match=r"50 are among the 60 cells' names; .*reindex"):
        given(adata, adata.obs["type"].iloc[10:])


def test_columns_of_obs_named_by_numbers_or_twice():
    adata = make()
    adata.obs = adata.obs.assign(other="x")
    adata.obs.columns = [0, 1]
    assert given(adata, "0").spec.class_names == ("a", "b", "c")
    adata.obs.columns = ["type", "type"]
    with pytest.raises(ValueError, match="has 2 columns 'type'"):
        given(adata, "type")


def without_x(**parts):
    return anndata.AnnData(obs=make().obs, var=make().var, **parts)


def marked(*flags):
    adata = make()
    adata.var["hv"] = [*flags, *["FALSE"] * (G - len(flags))]
    return adata


def with_column(name, values):
    adata = make()
    adata.obs[name] = values
    return adata


WRONG = {
    "no X": (lambda: without_x(layers={"counts": COUNTS}), {}, "has counts: data.layer=counts"),
    "layer's case": (lambda: make(counts=COUNTS), {"layer": "Counts"}, "data.layer=counts"),
    "obsm alone": (
        lambda: anndata.AnnData(obs=make().obs, obsm={"X_pca": COUNTS}), {}, "values of obsm into",
    ),
    "no flags": (lambda: marked("yes"), {"genes": "hv"}, "holds 'yes', not true and false"),
    "no column": (lambda: marked("TRUE"), {"genes": "highly"}, "no such file.* it has symbol, hv"),
    "all distinct": (
        lambda: with_column("own", np.arange(N)), {"label_key": "own"}, "60 cells have 60 values",
    ),
    "numbers": (
        lambda: with_column("own", np.round(np.arange(N) / 1.5)), {"label_key": "own"},
        "60 cells have 40 values",
    ),
    "words of one cell": (
        lambda: with_column("own", [f"w{i}" for i in range(N)]), {"covariates": ["own"]},
        "names 'own', but 60 of its 60 values have fewer than 2 training",
    ),
    "one word": (
        lambda: with_column("own", ["w"] * N), {"covariates": ["own"]}, "the same in all training",
    ),
    "complex": (lambda: make(COUNTS + 1j), {}, "complex.* real numbers are needed"),
    "objects": (lambda: make(COUNTS.astype(object)), {}, "object values; real numbers are needed"),
    "batch": (
        lambda: with_column("own", ["nan", *TYPES[1:]]),
        {"batch_key": "own"},
        "1 of 60 cells have no value there; give them one",
    ),
    "few cells": (lambda: make()[:5].copy(), {}, "5 cells are too few .* 6 or more"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_named_with_its_remedy(case):
    adata, settings, message = WRONG[case]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        given(adata(), **settings)


def test_flags_as_r_writes_them_and_one_covariate_as_a_word():
    assert given(marked("TRUE", "TRUE"), genes="hv").spec.shape == (2,)
    data = given(with_column("own", CODES), covariates="own")
    assert [one.name for one in data.spec.covariates] == ["own"]


def test_no_more_variable_genes_than_asked_for():
    assert given(make(), num_highly_variable=5).spec.shape == (5,)


@pytest.mark.parametrize("value", [pd.DataFrame(COUNTS), COUNTS])
def test_tables_are_refused_with_the_line_that_makes_cells_of_them(value):
    with pytest.raises(ValueError, match=r"anndata\.AnnData\(table\)"):
        CellDataModule.take(value, None)


@pytest.mark.filterwarnings("ignore")
def test_mudata_of_python_names_a_modality():
    mudata = pytest.importorskip("mudata")
    with pytest.raises(ValueError, match=r"got MuData of rna, adt; .*data\.mod\['rna'\]"):
        CellDataModule.take(mudata.MuData({"rna": make(), "adt": make()}), None)


@pytest.mark.filterwarnings("ignore:Forward slashes")
def test_columns_that_mudata_has_for_all_modalities(tmp_path):
    path = write_h5mu(tmp_path / "m.h5mu", "RNA", "ADT")
    with h5py.File(path, "r+") as file:
        obs = make().obs.iloc[::-1].assign(shared=TYPES[::-1])
        del file["obs"]
        anndata.io.write_elem(file, "obs", obs)
    data = load(path, modality="RNA", label_key="shared")
    assert data.table.label.tolist() == CODES.tolist()
    with pytest.raises(ValueError, match=r"ADT, RNA; set data\.modality=RNA"):
        load(path)


def test_a_matrix_of_cells_by_genes_and_features_without_genes(tmp_path):
    folder = write_mtx(tmp_path / "10x", "features.tsv", False)
    with (folder / "matrix.mtx").open("wb") as file:
        io.mmwrite(file, sparse.coo_matrix(COUNTS.astype(np.int64)))
    np.testing.assert_allclose(expression(load(folder)), LOG, rtol=1e-5)
    lines = (folder / "features.tsv").read_text()
    (folder / "features.tsv").write_text(lines.replace("Gene Expression", "Antibody Capture"))
    with pytest.raises(ValueError, match="features of Antibody Capture, but none of gene expr"):
        load(folder)
    (folder / "matrix.mtx").rename(folder / "counts.mtx")
    with pytest.raises(FileNotFoundError, match=r"counts\.mtx is not called matrix\.mtx"):
        load(folder / "counts.mtx")


def test_a_folder_of_cell_ranger_names_the_filtered_cells(tmp_path):
    (tmp_path / "molecule_info.h5").touch()
    (tmp_path / "raw_feature_bc_matrix.h5").touch()
    write_mtx(tmp_path / "filtered_feature_bc_matrix", "features.tsv", True)
    with pytest.raises(ValueError, match=r"such as .*filtered_feature_bc_matrix"):
        load(tmp_path)


@pytest.mark.parametrize(("name", "expected"), [("gene_name", "g0"), ("other", "0")])
def test_loom_files_of_other_names(tmp_path, name, expected, caplog):
    pytest.importorskip("loompy")
    with h5py.File(tmp_path / "a.loom", "w") as file:
        file.attrs["LOOM_SPEC_VERSION"] = "3.0.0"
        file["matrix"] = 2 * COUNTS.T
        file["layers/spliced"] = COUNTS.T
        file[f"row_attrs/{name}"] = np.array([f"g{i}" for i in range(G)], dtype="S")
        file["col_attrs/barcode"] = np.array([f"cell{i}" for i in range(N)], dtype="S")
        for group in ("attrs", "row_graphs", "col_graphs"):
            file.create_group(group)
    caplog.set_level("INFO", "mixvae")
    data = load(tmp_path / "a.loom")
    np.testing.assert_allclose(expression(data), LOG, rtol=1e-5)
    assert data.spec.feature_names[0] == expected
    assert "X is the loom's layer 'spliced'" in caplog.text
    assert ("data.gene_names=COLUMN names one of other" in caplog.text) == (expected == "0")
