"""A run's categories and states in AnnData: from file to file, in memory, and into scanpy."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

import mixvae.data.cells.drafts as drafts
import mixvae.runs.annotating as module
from mixvae.annotate import annotate, main

anndata = pytest.importorskip("anndata")
pytest.importorskip("scanpy")

from mixvae.data.cells.synthetic import SyntheticCellsDataModule, to_anndata  # noqa: E402

CELLS = (
    "data=cells_synthetic",
    "data.num_cells=400",
    "data.num_genes=120",
    "data.num_types=4",
    "data.batch_size=100",
    "model.num_categories=4",
    "model.likelihood._target_=mixvae.objectives.likelihoods.Gaussian",
    # So that the categories are in use after so short a training.
    "model.information_weight=1000",
    "model.entropy_weight=0",
)
Run = Callable[..., Path]


@pytest.fixture(scope="module")
def cells() -> Any:
    """The very cells that the run was trained on, in the order of their index."""
    data = SyntheticCellsDataModule(seed=0, num_cells=400, num_genes=120, num_types=4)
    return to_anndata(data.truth)


@pytest.fixture
def made(run: Run) -> Path:
    return run("a", *CELLS)


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        return main(list(arguments)), *capfd.readouterr()

    return call


def same(one: Any, other: Any) -> None:
    """Two annotations say the same."""
    columns = [name for name in one.obs if name.startswith("mixvae_")]
    assert len(columns) == 6
    for name in columns:
        if one.obs[name].dtype == "category":
            assert one.obs[name].tolist() == other.obs[name].tolist()
        else:
            np.testing.assert_allclose(one.obs[name], other.obs[name], atol=1e-4)
    for name in ("X_mixvae_category", "X_mixvae_state", "X_mixvae_latent", "X_mixvae_plane"):
        np.testing.assert_allclose(one.obsm[name], other.obsm[name], atol=1e-3)


def test_a_file_is_annotated_as_the_run_itself_infers(
    made: Path, command, cells, tmp_path: Path
) -> None:
    cells.write_h5ad(tmp_path / "in.h5ad")
    before = hashlib.sha256((tmp_path / "in.h5ad").read_bytes()).digest()
    status, out, err = command("run=a", "data.path=in.h5ad", "out=out.h5ad")
    assert status == 0, err
    assert "out.h5ad: 400 cells" in out
    assert hashlib.sha256((tmp_path / "in.h5ad").read_bytes()).digest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "in.h5ad", "out.h5ad"]
    found = anndata.read_h5ad(tmp_path / "out.h5ad")
    with np.load(made / "predictions.npz") as table:
        rows = table["index"]
        category = found.obs["mixvae_category"].astype(int).to_numpy()[rows]
        np.testing.assert_array_equal(category, table["consensus"])
        for agent in range(2):
            own = found.obs[f"mixvae_agent{agent}"].astype(int).to_numpy()[rows]
            np.testing.assert_array_equal(own, table["category"][agent])
        np.testing.assert_allclose(
            found.obsm["X_mixvae_state"][rows], table["state_mean"][0], atol=1e-5
        )
        mean = table["probs"].mean(axis=0)
        np.testing.assert_allclose(found.obsm["X_mixvae_category"][rows], mean, atol=1e-6)
    assert found.obs["mixvae_category"].cat.categories.isin(["0", "1", "2", "3"]).all()
    assert found.obsm["X_mixvae_latent"].shape == (400, 4 + 2)
    about = found.uns["mixvae"]
    assert about["run"] == str(made)
    assert about["checkpoint"] == "checkpoints/best.ckpt"
    assert about["model_order"] == about["num_categories"] == 4
    assert list(about["genes"]) == list(cells.var_names)
    assert len(about["missing_genes"]) == 0
    # Everything that was there is there still.
    np.testing.assert_array_equal(found.X.toarray(), cells.X.toarray())
    assert found.obs["type"].tolist() == cells.obs["type"].tolist()
    assert "counts" in found.layers


# cells_cpl has one state, of which scanpy can draw no embedding; a run may have none.
DRAWN = {2: "mixvae_state", 1: "mixvae_plane", 0: "mixvae_plane"}


# scanpy's own use of matplotlib.
@pytest.mark.filterwarnings("ignore:The set_bad function:PendingDeprecationWarning")
@pytest.mark.parametrize(("num_states", "basis"), DRAWN.items())
def test_it_opens_in_scanpy(run: Run, cells, num_states: int, basis: str) -> None:
    import matplotlib.pyplot as plt
    import scanpy

    own = (f"model.state_dim={num_states}",) if num_states != 2 else ()
    found = annotate(cells, run("a", *CELLS, *own))
    assert ("X_mixvae_state" in found.obsm) == (num_states > 0)
    assert found.obsm["X_mixvae_plane"].shape == (400, 2)
    axes = scanpy.pl.embedding(found, basis=basis, color="mixvae_category", show=False)
    assert len(axes.collections) >= 1
    plt.close("all")
    assert len(found.uns["mixvae_category_colors"]) == len(found.obs.mixvae_category.cat.categories)
    scanpy.tl.rank_genes_groups(found, "mixvae_category", method="t-test")
    groups = found.uns["rank_genes_groups"]["names"].dtype.names
    assert set(groups) == set(found.obs["mixvae_category"])


def test_counts_dense_permuted_and_with_more_genes_the_cells_stay_the_same(
    made: Path, cells
) -> None:
    wanted = annotate(cells, made)
    same(annotate(cells, made, layer="counts"), wanted)
    same(annotate(cells, made, batch_size=7), wanted)
    dense = anndata.AnnData(cells.layers["counts"].toarray(), obs=cells.obs, var=cells.var)
    dense = dense[:, np.random.default_rng(0).permutation(dense.n_vars)].copy()
    same(annotate(dense, made), wanted)
    silent = anndata.AnnData(sparse.csr_matrix((400, 5)), obs=cells.obs)
    silent.var_names = [f"silent{i}" for i in range(5)]
    more = anndata.concat([cells, silent], axis=1)
    same(annotate(more, made), wanted)


def test_the_object_in_memory_is_not_changed_and_annotating_again_replaces(
    made: Path, cells
) -> None:
    def state() -> list[Any]:
        kept = [cells.obs, cells.obsm, cells.uns, warnings.filters, torch.get_rng_state().tolist()]
        return [*map(list, kept), logging.getLogger("lightning.pytorch").level]

    before = state()
    once = annotate(cells, made)
    assert state() == before
    once.obs["mixvae_agent7"] = 1
    once.uns["mixvae_category_colors"] = ["red"]
    once.obs["mixvae_of_mine"] = 2
    once.uns["mixvae_notes"] = "mine"
    once.obsm["X_mixvae_umap"] = once.obsm["X_mixvae_plane"]
    again = annotate(once, made, agent=1)
    assert set(again.obs) == {*annotate(cells, made).obs, "mixvae_of_mine"}
    assert set(again.uns) == {"mixvae", "mixvae_notes"}
    assert "X_mixvae_umap" in again.obsm
    assert again.uns["mixvae"]["agent"] == 1
    assert not np.allclose(again.obsm["X_mixvae_state"], once.obsm["X_mixvae_state"])


def test_a_pruned_run_gives_its_kept_categories_and_tells_of_its_model_order(
    made: Path, cells
) -> None:
    path = made / "checkpoints" / "selected.ckpt"
    content = torch.load(made / "checkpoints" / "best.ckpt", weights_only=True)
    content["state_dict"]["category_mask"][:] = torch.tensor([True, False, True, True])
    torch.save(content, path)
    order = {"selected_order": 3, "threshold_met": False, "reason": None, "rounds": [{"round": 0}]}
    (made / "model_order.json").write_text(json.dumps(order))
    found = annotate(cells, made, checkpoint="selected")
    assert (found.obsm["X_mixvae_category"][:, 1] == 0).all()
    columns = ("mixvae_category", "mixvae_agent0", "mixvae_agent1")
    assert all("1" not in found.obs[name].cat.categories for name in columns)
    about = found.uns["mixvae"]
    assert about["checkpoint"] == "checkpoints/selected.ckpt"
    assert about["model_order"] == 3
    assert about["kept_categories"].tolist() == [0, 2, 3]
    assert about["model_order_selection"] == {"selected_order": 3, "threshold_met": False}


def test_the_weights_of_a_learned_augmenter_are_not_needed(made: Path, cells) -> None:
    wanted = annotate(cells, made)
    path = made / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["state_dict"]["augmenter.network.weight"] = torch.zeros(3)
    torch.save(content, path)
    same(annotate(cells, made), wanted)


def test_missing_genes_are_refused_above_the_share(made: Path, cells) -> None:
    half = cells[:, ::2].copy()
    with pytest.raises(ValueError, match="60 of 120 wanted genes are missing"):
        annotate(half, made)
    found = annotate(half, made, max_missing=0.5, layer="counts")
    assert list(found.uns["mixvae"]["missing_genes"]) == list(cells.var_names[1::2])
    strange = cells.copy()
    strange.var_names = [f"ENSG{i}" for i in range(120)]
    with pytest.raises(ValueError, match="none of the 120 wanted genes is in the file"):
        annotate(strange, made, max_missing=1.0)


def test_an_output_that_is_there_is_kept_unless_it_may_be_replaced(
    made: Path, command, cells, tmp_path: Path
) -> None:
    cells.write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "out.h5ad").write_text("precious")
    files = ("run=a", "data.path=in.h5ad", "out=out.h5ad")
    status, _, err = command(*files)
    assert status == 1
    assert "overwrite=true" in err
    assert (tmp_path / "out.h5ad").read_text() == "precious"
    assert command(*files, "overwrite=true")[0] == 0
    assert anndata.read_h5ad(tmp_path / "out.h5ad").n_obs == 400


def test_a_failure_leaves_no_output(
    made: Path, command, cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells.write_h5ad(tmp_path / "in.h5ad")

    def half(path: Path, *_: Any) -> None:
        Path(path).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(drafts, "_write_into", half)
    status, _, err = command("run=a", "data.path=in.h5ad", "out=out.h5ad")
    assert status == 1
    assert "disk full" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "in.h5ad"]


BAD = {
    "suffix": (("out=out.csv",), "out=out.csv must end in .h5ad"),
    "link": (("out=link.h5ad", "overwrite=true"), "is the input itself"),
    "folder": (("out=folder.h5ad",), "is a folder"),
    "in a file": (("out=text.h5ad/out.h5ad",), "no folder"),
    "layer": (("data.layer=count",), "has no matrix 'count'; it has X, counts"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(
    made: Path, command, cells, tmp_path: Path, changes: tuple[str, ...], message: str
) -> None:
    cells.write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "text.h5ad").write_text("text")
    (tmp_path / "folder.h5ad").mkdir()
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "in.h5ad")
    values = {"run": "a", "data.path": "in.h5ad", "out": "out.h5ad"}
    values |= dict(change.split("=") for change in changes)
    status, _, err = command(*(f"{key}={value}" for key, value in values.items()))
    assert status == 1
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.h5ad").exists()


def test_an_unwritable_folder_is_refused_before_the_work(
    made: Path, command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The user may be root, to whom no folder is closed.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(module, "open_annotator", lambda request: pytest.fail("worked"))
    status, _, err = command("run=a", "data.path=in.h5ad", "out=out.h5ad")
    assert status == 1
    assert "may not be written to" in err


def test_a_run_of_cells_without_categories_is_refused(train, command) -> None:
    data = ("data=cells_synthetic", *(line for line in CELLS if line.startswith("data.")))
    small = ("trainer.max_epochs=1", "logger=csv", "~callbacks.figures", "run_dir=a")
    outcome = train("+experiment=cells_augmenter", *data, *small)
    assert outcome.status == 0, outcome.err
    status, _, err = command("run=a", "data.path=in.h5ad", "out=out.h5ad")
    assert status == 1
    assert "AugmenterVAEGAN, which has no categories" in err


def test_an_object_without_x_is_refused_unless_a_layer_is_named(made: Path, cells) -> None:
    empty = anndata.AnnData(obs=cells.obs, var=cells.var, layers={"counts": cells.layers["counts"]})
    with pytest.raises(ValueError, match="has no matrix 'X'; it has counts"):
        annotate(empty, made)
    same(annotate(empty, made, layer="counts"), annotate(cells, made))


def test_a_run_of_the_built_in_cells_reads_raw_where_there_is_one(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    import scanpy

    made = run("a", "data=cells", *(line for line in CELLS if not line.startswith("data")))
    blood = scanpy.datasets.pbmc68k_reduced()
    found = annotate(blood, made)
    with np.load(made / "predictions.npz") as table:
        category = found.obs["mixvae_category"].astype(int).to_numpy()[table["index"]]
        np.testing.assert_array_equal(category, table["consensus"])
    with pytest.raises(ValueError, match="but the run was trained on log-normalised"):
        annotate(blood, made, layer="X")
    plain = anndata.AnnData(blood.raw.X, obs=blood.obs, var=blood.raw.var)
    same(annotate(plain, made), found)
    assert "is missing: using X" not in caplog.text


def test_a_layer_that_is_not_there_gives_way_to_x_with_a_word(
    made: Path, cells, caplog: pytest.LogCaptureFixture
) -> None:
    path = made / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["SyntheticCellsDataModule"]["layer"] = "spliced"
    torch.save(content, path)
    wanted = annotate(cells, made, layer="X")
    assert "is missing: using X" not in caplog.text
    same(annotate(cells, made), wanted)
    assert "matrix spliced, which the run was trained on, is missing: using X" in caplog.text


def test_log_data_of_no_common_scale_are_taken_with_a_warning(
    made: Path, cells, caplog: pytest.LogCaptureFixture
) -> None:
    annotate(cells, made)
    assert "no sum in common" not in caplog.text
    annotate(cells[:, :110].copy(), made)
    assert "no sum in common" in caplog.text
    assert "taken to have been scaled to 1e+06 per cell" in caplog.text


def test_what_is_not_in_memory_is_refused(made: Path, cells, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "in.h5ad")
    backed = anndata.read_h5ad(tmp_path / "in.h5ad", backed="r")
    with pytest.raises(ValueError, match="is backed by a file"):
        annotate(backed, made)
    backed.file.close()
    with pytest.raises(ValueError, match="takes an AnnData object, got str"):
        annotate("in.h5ad", made)


def test_a_run_on_counts_annotates_and_ranks_genes_in_log_units(run: Run, cells) -> None:
    family = "mixvae.objectives.count_likelihoods.NegativeBinomial"
    changes = (f"model.likelihood._target_={family}", "data.counts_layer=counts", "callbacks=cells")
    made = run("a", *CELLS, *changes)
    found = annotate(cells, made)
    assert np.isfinite(found.obsm["X_mixvae_latent"]).all()
    with (made / "states.csv").open() as file:
        changed = [float(row.split(",")[4]) for row in list(file)[1:]]
    # log1p(CPM) is at most 14; counts or probabilities would lie elsewhere.
    assert 1e-4 < max(changed) < 14


# --- Files as biologists have them ---------------------------------------------------------------


def stored(node: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every data set and attribute of an HDF5 file, as stored."""
    found: dict[str, Any] = {}

    def look(name: str, item: Any) -> None:
        if not any(part in name for part in without):
            value = item[()] if hasattr(item, "dtype") else None
            found[name] = (value, {k: str(v) for k, v in item.attrs.items() if k != "column-order"})

    node.visititems(look)
    return found


def unchanged(before: Path, after: Path) -> None:
    """`after` is `before`, to the byte, but for what an annotation writes."""
    import h5py

    with h5py.File(before) as one, h5py.File(after) as other:
        old, new = stored(one), stored(other, ("mixvae",))
        assert old.keys() == new.keys()
        for name, (value, attributes) in old.items():
            np.testing.assert_equal(value, new[name][0])
            assert attributes == new[name][1], name


def odd(cells: Any) -> Any:
    """Columns of every kind that anndata stores."""
    import pandas

    adata = cells.copy()
    adata.obs.index = adata.obs.index.astype("string")
    adata.obs["word"] = pandas.array(["x", pandas.NA] * 200, dtype="string")
    adata.obs["flag"] = pandas.array([True, None] * 200, dtype="boolean")
    adata.obs["number"] = pandas.array([1, None] * 200, dtype="Int64")
    adata.obs["mixvae_agent9"] = 3  # of an earlier annotation
    adata.obsp["near"] = sparse.eye(400, format="csr")
    adata.varm["loads"] = np.ones((120, 2))
    adata.uns["nested"] = {"a": {"b": np.arange(3)}}
    adata.raw = cells
    return adata


def write_odd(cells: Any, path: Path) -> Path:
    import h5py

    with anndata.settings.override(allow_write_nullable_strings=True):
        odd(cells).write_h5ad(path)
    with h5py.File(path, "r+") as file:  # a column that AnnData refuses to write again
        frame = file["raw/var"]
        if frame.attrs["_index"] == "_index":
            frame.move("_index", "features")
            frame.attrs["_index"] = "features"
        file.copy(frame["features"], frame, "_index")
    return path


def test_a_file_comes_back_as_it_is_stored_with_columns_of_every_kind(
    made: Path, command, cells, tmp_path: Path
) -> None:
    path = write_odd(cells, tmp_path / "in.h5ad")
    status, _, err = command("run=a", f"data.path={path}", "out=out.h5ad")
    assert status == 0, err
    found = anndata.read_h5ad(tmp_path / "out.h5ad")
    same(found, annotate(cells, made))
    assert "mixvae_agent9" not in found.obs
    assert found.obs["word"].isna().sum() == found.obs["flag"].isna().sum() == 200
    import h5py

    with h5py.File(path, "r+") as file:
        del file["obs/mixvae_agent9"]
    unchanged(path, tmp_path / "out.h5ad")
    assert command("run=a", "data.path=out.h5ad", "out=twice.h5ad")[0] == 0
    unchanged(path, tmp_path / "twice.h5ad")


@pytest.mark.filterwarnings("ignore:Forward slashes")
def test_packed_files_modalities_and_old_files_are_annotated(
    made: Path, command, cells, tmp_path: Path
) -> None:
    import gzip

    import h5py

    cells.write_h5ad(tmp_path / "in.h5ad")
    packed = gzip.compress((tmp_path / "in.h5ad").read_bytes(), 1)
    (tmp_path / "in.h5ad.gz").write_bytes(packed)
    wanted = annotate(cells, made)
    assert command("run=a", "data.path=in.h5ad.gz", "out=packed.h5ad")[0] == 0
    same(anndata.read_h5ad(tmp_path / "packed.h5ad"), wanted)
    with h5py.File(tmp_path / "in.h5mu", "w") as file:
        for name in ("rna", "adt"):
            anndata.io.write_elem(file.require_group("mod"), name, cells)
        anndata.io.write_elem(file, "obs", cells.obs)
        anndata.io.write_elem(file, "var", cells.var)
    status, _, err = command("run=a", "data.path=in.h5mu", "data.modality=rna", "out=out.h5ad")
    assert status == 1
    assert "must end in .h5mu" in err
    files = ("run=a", "data.path=in.h5mu", "out=out.h5mu")
    assert "choose one" in command(*files)[2]
    status, _, err = command(*files, "data.modality=rna")
    assert status == 0, err
    with h5py.File(tmp_path / "out.h5mu") as file:
        same(anndata.io.read_elem(file["mod/rna"]), wanted)
        assert "mixvae_category" not in file["mod/adt/obs"]
    with h5py.File(tmp_path / "in.h5ad", "r+") as file:
        file["obs"].attrs["encoding-version"] = "0.1.0"
        file["obs"].create_group("__categories")
    status, _, err = command("run=a", "data.path=in.h5ad", "out=old.h5ad")
    assert status == 0, err
    same(anndata.read_h5ad(tmp_path / "old.h5ad"), wanted)


def test_genes_are_found_by_the_column_that_names_them(
    made: Path, cells, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    other = cells.copy()
    other.var["feature_name"] = other.var_names.to_numpy()
    other.var_names = [f"ENSG{i:011d}.3" for i in range(120)]
    with caplog.at_level(logging.INFO, logger="mixvae"):
        same(annotate(other, made), annotate(cells, made))
    assert "genes are found by the column 'feature_name' of var" in caplog.text
    same(annotate(other, made, gene_names="feature_name"), annotate(cells, made))
    with pytest.raises(ValueError, match=r"data\.gene_names is 'symbol'"):
        annotate(other, made, gene_names="symbol")


def test_scaled_cells_name_the_matrix_to_use(made: Path, cells) -> None:
    scaled = cells.copy()
    scaled.raw = cells
    scaled.X = scaled.X.toarray() - 1
    with pytest.raises(
        ValueError, match=r"data\.layer=raw holds log-normalised.*data\.layer=counts"
    ):
        annotate(scaled, made)
    same(annotate(scaled, made, layer="raw"), annotate(cells, made))


def test_everything_is_checked_before_the_work(
    made: Path, command, cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    path = write_odd(cells, tmp_path / "in.h5ad")
    work = module._infer
    monkeypatch.setattr(module, "_infer", lambda *_: pytest.fail("worked"))
    own = ("run=a", "data.path=in.h5ad")
    for argument in ("agent=7", "data.layer=none", "data.gene_names=none", "data.modality=rna"):
        status, _, err = command(*own, "out=out.h5ad", argument)
        assert (status, err.count("\n")) == (1, 1), err
        assert argument.split("=")[1] in err
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    assert "its disk has 10 left" in command(*own, "out=out.h5ad")[2]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)

    def touched(*arguments: Any) -> Any:
        path.touch()
        return work(*arguments)

    monkeypatch.setattr(module, "_infer", touched)
    assert "was changed while it was read" in command(*own, "out=out.h5ad")[2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "in.h5ad"]


def test_an_output_in_the_inputs_place_is_refused(
    made: Path, command, cells, tmp_path: Path
) -> None:
    cells.write_h5ad(tmp_path / "in.h5ad")
    os.link(tmp_path / "in.h5ad", tmp_path / "hard.h5ad")
    for out in ("in.h5ad", "hard.h5ad", "./a/../in.h5ad"):
        status, _, err = command("run=a", "data.path=in.h5ad", f"out={out}", "overwrite=true")
        assert (status, "is the input itself" in err) == (1, True), err
    folder = tmp_path / "cells"
    folder.mkdir()
    (folder / "matrix.mtx").write_text("")
    status, _, err = command("run=a", "data.path=cells", "out=cells/out.h5ad")
    assert (status, "lies within the input" in err) == (1, True), err


def test_a_rejected_run_is_warned_of(made: Path, cells, caplog: pytest.LogCaptureFixture) -> None:
    verdict = json.loads((made / "review.json").read_text())
    assert annotate(cells, made).uns["mixvae"]["review"] == verdict["verdict"]
    reasons = {"verdict": "reject", "reasons": ["held-out consensus 0.3 is below 0.95"]}
    (made / "review.json").write_text(json.dumps(reasons))
    caplog.clear()
    annotate(cells, made)
    assert "is not to be relied on: held-out consensus 0.3 is below 0.95" in caplog.text
    (made / "review.json").unlink()  # of a run before there were any
    order = {"threshold_met": False, "statement": "mean consensus 0.3 is the best"}
    (made / "model_order.json").write_text(json.dumps(order))
    annotate(cells, made)
    assert "is not to be relied on: mean consensus 0.3 is the best" in caplog.text


@pytest.mark.filterwarnings("ignore")  # of zarr and anndata on formats of theirs
def test_folders_and_stores_become_h5ad(made: Path, command, cells, tmp_path: Path) -> None:
    from scipy import io

    wanted = annotate(cells, made, add=["decoded"])
    folder = tmp_path / "10x"
    folder.mkdir()
    with (folder / "matrix.mtx").open("wb") as file:
        io.mmwrite(file, cells.layers["counts"].T.astype(np.int64).tocoo())
    (folder / "barcodes.tsv").write_text("".join(f"{name}\n" for name in cells.obs_names))
    names = "".join(f"ENSG{i:011d}\t{name}\n" for i, name in enumerate(cells.var_names))
    (folder / "genes.tsv").write_text(names)
    paths = {"10x": "mtx.h5ad"}
    if importlib.util.find_spec("zarr"):
        cells.write_zarr(tmp_path / "in.zarr")
        paths["in.zarr"] = "zarr.h5ad"
    for path, out in paths.items():
        status, _, err = command("run=a", f"data.path={path}", f"out={out}", "add=[decoded]")
        assert status == 0, err
        found = anndata.read_h5ad(tmp_path / out)
        same(found, wanted)
        name = "X_mixvae_decoded"
        np.testing.assert_allclose(found.obsm[name], wanted.obsm[name], atol=1e-4)


# --- on request ---


@pytest.mark.parametrize("size", [1000, 7])
def test_profiles_and_likelihoods_are_those_of_the_run_itself(
    made: Path, command, cells, tmp_path: Path, size: int
) -> None:
    from mixvae.cli.run_requests import RunRequest
    from mixvae.runs.opening import open_trained

    cells.write_h5ad(tmp_path / "in.h5ad")
    asked = "add=[decoded,profiles,likelihood]"
    found = annotate(cells, made, add=["decoded", "profiles", "likelihood"])
    run = open_trained(RunRequest(run=made))
    model = run.load_model(run.spec)
    x = torch.from_numpy(cells.X.toarray())
    with torch.inference_mode():
        posterior = model.infer(x)
        code = torch.nn.functional.one_hot(posterior.probs.argmax(-1), 4).float()
        decoded = model.decode(code, posterior.state_mean)
        # of a Gaussian of variance 1, by its density
        density = torch.distributions.Normal(decoded, 1.0).log_prob(x).sum(-1).mean(0)
    np.testing.assert_allclose(found.obsm["X_mixvae_decoded"], decoded.mean(0), atol=1e-4)
    np.testing.assert_allclose(found.obs["mixvae_log_likelihood"], density, rtol=1e-4)
    profiles = found.uns["mixvae"]["profiles"]
    for number, category in enumerate(found.uns["mixvae"]["kept_categories"]):
        own = (found.obs["mixvae_category"].astype(int) == category).to_numpy()
        wanted = found.obsm["X_mixvae_decoded"][own].mean(axis=0) if own.any() else np.nan
        np.testing.assert_allclose(profiles[number], wanted, atol=1e-4)
    status, _, err = command(
        "run=a", "data.path=in.h5ad", "out=out.h5ad", asked, f"batch_size={size}"
    )
    assert status == 0, err
    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    for name in ("X_mixvae_decoded", "X_mixvae_latent"):
        np.testing.assert_allclose(written.obsm[name], found.obsm[name], atol=1e-3)
    np.testing.assert_allclose(written.uns["mixvae"]["profiles"], profiles, atol=1e-4)
    np.testing.assert_allclose(written.obs["mixvae_log_likelihood"], density, rtol=1e-4)
    # without the request they go
    again = annotate(written, made)
    assert "X_mixvae_decoded" not in again.obsm
    assert "mixvae_log_likelihood" not in again.obs
    assert command("run=a", "data.path=out.h5ad", "out=plain.h5ad")[0] == 0
    assert "X_mixvae_decoded" not in anndata.read_h5ad(tmp_path / "plain.h5ad").obsm


def test_a_single_cell_is_annotated_as_among_others(made: Path, cells) -> None:
    single = annotate(cells[3:4], made, target_sum=1e6)
    whole = annotate(cells, made)
    np.testing.assert_allclose(
        single.obsm["X_mixvae_category"], whole.obsm["X_mixvae_category"][3:4], atol=1e-4
    )


def test_an_unknown_request_is_refused(made: Path, command, cells) -> None:
    status, _, err = command("run=a", "data.path=in.h5ad", "out=o.h5ad", "add=[decodes]")
    assert status == 2
    assert "add is 'decodes'; did you mean 'decoded'?" in err
    with pytest.raises(ValueError, match="add is 'all'"):
        annotate(cells, made, add="all")


def test_several_files_are_annotated_into_a_folder(
    made: Path, command, cells, tmp_path: Path
) -> None:
    whole = annotate(cells, made)
    for name, rows in {"a1": slice(0, 150), "a2": slice(150, 400)}.items():
        cells[rows].write_h5ad(tmp_path / f"{name}.h5ad")
    status, out, err = command("run=a", "data.path=[a1.h5ad,a2.h5ad]", "out=both")
    assert status == 0, err
    assert out.count("annotated") == 2
    parts = [anndata.read_h5ad(tmp_path / "both" / f"a{n}.h5ad") for n in (1, 2)]
    same(anndata.concat(parts, merge="same"), whole)
    assert command("run=a", "data.path=[a1.h5ad,a2.h5ad]", "out=x.h5ad")[0] == 1
    status, _, err = command("run=a", "data.path=[a1.h5ad,a2.h5ad]", "out=.")
    assert status == 1
    assert "is the input itself" in err
