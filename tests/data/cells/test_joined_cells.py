"""Several files as one: what two files give is what one file of all their cells gives."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

anndata = pytest.importorskip("anndata")
pytest.importorskip("scanpy")

from mixvae.data.cells.datamodule import CellDataModule  # noqa: E402
from tests.data.cells.test_cells import everything, load  # noqa: E402

RNG = np.random.default_rng(0)
GENES = [f"gene{g}" for g in range(30)]
COUNTS = RNG.poisson(RNG.gamma(1.0, 2.0, size=(200, 30))).astype(np.float32)
TYPES = np.array([f"t{i % 3}" for i in range(200)])


def cells_of(rows, order=range(30), form=sparse.csr_matrix, prefix="cell", **columns):
    made = anndata.AnnData(form(COUNTS[rows][:, list(order)]))
    made.obs_names = [f"{prefix}{i}" for i in range(made.n_obs)]
    made.var_names = [GENES[g] for g in order]
    made.obs["type"] = TYPES[rows]
    for name, values in columns.items():
        made.obs[name] = values
    return made


@pytest.fixture
def write(tmp_path):
    def write(**files):
        paths = [str(tmp_path / f"{name}.h5ad") for name in files]
        for path, cells in zip(paths, files.values(), strict=True):
            cells.write_h5ad(path)
        return paths

    return write


A, B = slice(0, 120), slice(120, 200)
SHUFFLED = RNG.permutation(30).tolist()


@pytest.mark.parametrize("second", [sparse.csr_matrix, np.asarray])
def test_two_files_are_the_cells_of_one_whatever_their_order_of_genes(write, backed, second):
    one = load(*write(one=cells_of(slice(None))), label_key="type")
    paths = write(a=cells_of(A), b=cells_of(B, SHUFFLED, second, prefix="other"))
    two = load(paths, label_key="type", backed=backed, chunk_rows=16, buffer_chunks=3)
    assert two.spec.feature_names == one.spec.feature_names
    assert two.table.label.tolist() == one.table.label.tolist()
    np.testing.assert_allclose(everything(two)[0], everything(one)[0], rtol=1e-6)
    for ours, theirs in zip(two.eval_dataloader("val"), one.eval_dataloader("val"), strict=True):
        assert torch.equal(ours.index, theirs.index)
    seen = torch.cat([batch.index for batch in two.train_dataloader()])
    assert len(set(seen.tolist())) == len(seen) > 0.6 * 200


def test_genes_that_a_file_lacks_are_dropped_and_libraries_are_of_the_rest(write, backed, caplog):
    shared = range(5, 25)
    with caplog.at_level(logging.WARNING, logger="mixvae"):
        two = load(write(a=cells_of(A, range(25)), b=cells_of(B, range(5, 30))), backed=backed)
    assert caplog.text.count("20 genes are in all files; 10 others are dropped") == 1
    one = load(*write(one=cells_of(slice(None), shared)))
    np.testing.assert_allclose(everything(two)[0], everything(one)[0], rtol=1e-6)
    assert two.state_dict()["library_genes"] == GENES[5:25]
    assert "library_genes" not in one.state_dict()


def test_the_file_is_a_batch_and_cells_of_one_name_are_told_apart(write):
    paths = write(a=cells_of(A), b=cells_of(B, prefix="cell"))
    data = load(paths, batch_key="file")
    assert [c.name for c in data.spec.covariates] == ["file=a", "file=b"]
    batch = next(iter(data.eval_dataloader("train")))
    assert torch.equal(batch.covariates[:, 1], (batch.index >= 120).float())
    with data._source() as source:
        assert source.cells[:2] == ["cell0_a", "cell1_a"]
        assert source.cells[119] == "cell119"
        assert source.cells[120] == "cell0_b"
        assert len(set(source.cells)) == 200


def test_files_of_one_name_are_told_apart_by_their_folders(write, tmp_path):
    paths = []
    for path in write(a=cells_of(A), b=cells_of(B, prefix="cell")):
        folder = tmp_path / Path(path).stem / "outs"
        folder.mkdir(parents=True)
        paths.append(str(Path(path).rename(folder / "filtered.h5ad")))
    data = load(paths, batch_key="file")
    names = [c.name for c in data.spec.covariates]
    assert names == ["file=a_outs_filtered", "file=b_outs_filtered"]


def test_columns_of_obs_are_joined_and_missing_where_a_file_lacks_them(write):
    a = cells_of(A, donor=["d1", "d2"] * 60, age=np.arange(120))
    b = cells_of(B, prefix="b", donor=[f"d{i % 3}" for i in range(80)], age=np.arange(80))
    del b.obs["type"]
    data = load(write(a=a, b=b), label_key="type", batch_key="donor", covariates=["age"])
    assert data.table.label[:3].tolist() == [0, 1, 2]
    assert (data.table.label[120:] == -1).all()
    assert [c.name for c in data.spec.covariates] == ["donor=d0", "donor=d1", "donor=d2", "age"]
    del b.obs["donor"]
    with pytest.raises(ValueError, match="80 of 200 cells have no value there"):
        load(write(a=a, c=b), batch_key="donor")


def test_objects_in_python_are_joined(write):
    from mixvae.data.files.given import giving, name_of

    objects = [cells_of(A), cells_of(B, prefix="b")]
    taken = CellDataModule.take(objects, "type")
    assert taken["path"] == objects
    names = {name_of(one): one for one in objects}
    with giving(names):
        data = load(list(names), label_key="type")
        one = load(*write(one=cells_of(slice(None))))
        np.testing.assert_allclose(everything(data)[0], everything(one)[0], rtol=1e-6)
    with pytest.raises(ValueError, match="takes an AnnData object, got int"):
        CellDataModule.take([objects[0], 3], None)


def renamed(cells, shared):
    """Cells that share so many names of genes with others."""
    cells.var_names = [*cells.var_names[:shared], *(f"ENSG{g}" for g in range(30 - shared))]
    return cells


BAD = {
    "all but ten genes": (lambda: renamed(cells_of(B), 10), "10 genes in common .a has 30, such"),
    "other kind": (
        lambda: cells_of(B, form=lambda x: np.log1p(x)),
        "raw counts .*, but X of .*b.h5ad holds log-normalised",
    ),
    "counts per million": (
        lambda: cells_of(B, form=lambda x: 1e6 * x / x.sum(axis=1, keepdims=True)),
        "raw counts .*, but X of .*b.h5ad holds expression that is not in log units",
    ),
}


@pytest.mark.parametrize(("second", "message"), BAD.values(), ids=BAD.keys())
def test_files_that_do_not_belong_together_are_refused(write, second, message):
    with pytest.raises(ValueError, match=message):
        load(write(a=cells_of(A), b=second()))


def test_log_data_of_two_scales_are_refused(write):
    def log(rows, total):
        made = cells_of(rows, form=np.asarray)
        made.X = np.log1p(made.X / made.X.sum(axis=1, keepdims=True) * total)
        return made

    with pytest.raises(ValueError, match=r"a.h5ad was scaled to 10000 per cell, but .* to 1e\+06"):
        load(write(a=log(A, 1e4), b=log(B, 1e6)))


def test_a_file_is_named_once_and_an_empty_list_is_refused(write):
    (path,) = write(a=cells_of(A))
    with pytest.raises(ValueError, match=r"file names stand more than once: .*name each once"):
        load([path, path])
    Path(f"{path}.link").symlink_to(path)
    with pytest.raises(ValueError, match=r"file names stand more than once: .*name each once"):
        load([path, f"{path}.link"])
    with pytest.raises(ValueError, match=r"data\.path is empty"):
        load([])


def test_a_file_that_changes_while_it_is_read_is_named(write, backed, monkeypatch):
    paths = write(a=cells_of(A), b=cells_of(B))
    plain = CellDataModule._labels

    def labels(self, source):
        with open(paths[1], "ab") as file:
            file.write(b" ")
        return plain(self, source)

    with monkeypatch.context() as patched:
        patched.setattr(CellDataModule, "_labels", labels)
        with pytest.raises(ValueError, match=r"b\.h5ad was changed while it was read"):
            load(paths, backed=backed)
    if backed:
        data = load(write(a=cells_of(A), b=cells_of(B)), backed=True)
        Path(paths[0]).touch()
        with pytest.raises(ValueError, match=r"a\.h5ad was changed while it was read"):
            everything(data)


def test_a_list_from_python_becomes_an_override_that_names_each_object():
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from mixvae.api.giving import given_lines, names_in

    cfg = OmegaConf.create({"data": {"_target_": "mixvae.data.CellDataModule", "path": None}})
    objects = [cells_of(A), cells_of(B, prefix="b")]
    (line, label), given = given_lines(cfg, objects, "type")
    assert label == "data.label_key='type'"
    cfg.data.path = [str(one) for one in OverridesParser.create().parse_override(line).value()]
    assert list(given.values()) == objects
    assert names_in(cfg) == set(given) == set(cfg.data.path)
