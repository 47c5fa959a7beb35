"""Cells of another file arrive at the model as the run's own did."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from scipy import sparse

from mixvae.data.cells.expression import log_cpm, normalised
from mixvae.data.cells.matrices import MatrixInMemory
from mixvae.data.cells.preparation import Preparation

GENES = tuple(f"g{i}" for i in range(30))
RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(RNG.gamma(1.0, 3.0, size=(50, 30))).astype(np.float32)
LOG = log_cpm(COUNTS)
OF_COUNTS = Preparation(GENES, "counts", "log_cpm", 1e6)
OF_LOG = Preparation(GENES, "log", "none", None)
OF_SCALED = Preparation(GENES, "scaled", "none", None)


def prepared(matrix, preparation=OF_COUNTS, names=GENES, max_missing=0.2, **options):
    cells = MatrixInMemory(matrix, names, "X", "X")
    batches = list(preparation.adapt(cells, max_missing, **options).batches(cells, 7))
    assert [len(batch) for batch in batches] == [7] * 7 + [1]
    assert all(batch.dtype == torch.float32 for batch in batches)
    return torch.cat(batches).numpy()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_counts_and_log_data_arrive_as_the_same_log_cpm(form) -> None:
    np.testing.assert_allclose(prepared(form(COUNTS)), LOG, rtol=1e-6)
    np.testing.assert_array_equal(prepared(form(LOG)), LOG)
    np.testing.assert_array_equal(prepared(form(LOG), OF_LOG), LOG)


def test_genes_are_found_by_name_and_libraries_are_those_of_all_genes() -> None:
    order = RNG.permutation(30)
    names = [GENES[i] for i in order]
    np.testing.assert_allclose(prepared(COUNTS[:, order], names=names), LOG, rtol=1e-6)
    few = Preparation(GENES[3:9], "counts", "log_cpm", 1e6)
    np.testing.assert_allclose(prepared(COUNTS[:, order], few, names), LOG[:, 3:9], rtol=1e-6)


def test_missing_genes_count_as_not_expressed_up_to_a_share(
    form, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [i for i in range(30) if i not in (2, 17)]
    names = [GENES[i] for i in kept]
    x = prepared(form(LOG[:, kept]), OF_LOG, names)
    np.testing.assert_array_equal(x[:, kept], LOG[:, kept])
    assert (x[:, [2, 17]] == 0).all()
    assert "g2" in caplog.text
    with pytest.raises(ValueError, match=r"2 of 30 wanted genes are missing"):
        prepared(form(LOG[:, kept]), OF_LOG, names, max_missing=0.05)
    with pytest.raises(ValueError, match="none of the 30 wanted genes"):
        prepared(form(LOG), OF_LOG, [f"ENSG{i}" for i in range(30)], max_missing=1.0)


def test_log_data_of_another_scale_are_rescaled_and_said_to_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mixvae")
    other = log_cpm(COUNTS, target_sum=1e4)
    np.testing.assert_allclose(prepared(other), LOG, rtol=1e-4)
    np.testing.assert_allclose(prepared(sparse.csr_matrix(other)), LOG, rtol=1e-4)
    assert "scaled to 10000 per cell before the log; it is rescaled to the run's" in caplog.text
    # Without a common sum nobody can tell, and nothing is done.
    np.testing.assert_array_equal(
        prepared(other[:, :20], names=GENES[:20], max_missing=1)[:, :20], other[:, :20]
    )


@pytest.mark.parametrize("kept", [30, 20])  # libraries of 20 genes have no sum in common
def test_log_data_taken_in_the_runs_scale_have_its_unit(kept: int) -> None:
    matrix = MatrixInMemory(LOG[:, :kept], GENES[:kept], "X", "X")
    adapted = OF_COUNTS.adapt(matrix, max_missing=1.0)
    assert (adapted.applied, adapted.described) == ("none", OF_COUNTS.described)


@pytest.mark.parametrize("size", [1, 2])
def test_log_data_of_few_cells_are_rescaled_as_among_others(size: int) -> None:
    of_median = Preparation(GENES, "counts", "log_cpm", 700.0)
    whole = log_cpm(COUNTS, target_sum=700.0)
    for start in range(50 - size):
        rows = slice(start, start + size)
        few = MatrixInMemory(LOG[rows], GENES, "X", "X")
        (x,) = of_median.adapt(few, 0.0).batches(few, 7)
        np.testing.assert_allclose(x, whole[rows], rtol=1e-4)


def test_counts_for_a_run_on_log_data_need_a_scale() -> None:
    with pytest.raises(ValueError, match="such as target_sum=1e4"):
        prepared(COUNTS, OF_LOG)
    x = prepared(COUNTS, OF_LOG, target_sum=1e4)
    np.testing.assert_allclose(x, log_cpm(COUNTS, target_sum=1e4), rtol=1e-6)


def test_linear_expression_is_normalised_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mixvae"):
        x = prepared(COUNTS * 10.5)
    np.testing.assert_allclose(x, LOG, rtol=1e-5)
    assert "is made of it" in caplog.text


SCALED = (LOG - LOG.mean(axis=0)) / LOG.std(axis=0)
WRONG = {
    "scaled for log": (SCALED, OF_COUNTS, "X holds scaled expression"),
    "log for scaled": (LOG, OF_SCALED, "trained on scaled expression .*data.layer=NAME"),
    "counts for scaled": (COUNTS, OF_SCALED, "X holds raw counts"),
    "not finite": (np.where(LOG > 12, np.nan, LOG), OF_LOG, "nan; every value must be finite"),
}


@pytest.mark.parametrize(("matrix", "preparation", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_the_model_cannot_be_given_is_refused(matrix, preparation, message) -> None:
    with pytest.raises(ValueError, match=message):
        prepared(matrix, preparation)


def test_scaled_data_are_taken_by_a_run_on_scaled_data() -> None:
    np.testing.assert_allclose(prepared(SCALED, OF_SCALED), SCALED, rtol=1e-6)


# The states that data modules wrote at e21c05a into checkpoints, word for word.
COUNTED = {
    "genes": ["a", "b"],
    "kind": "counts",
    "normalize": "log_cpm",
    "target_sum": 1e4,
    "class_names": ["Pvalb", "Sst"],
    "layer": "counts",
    "counts_layer": "counts",
    "label_key": "cluster",
    "batch_key": None,
}
AS_THEY_CAME = {**COUNTED, "kind": "scaled", "normalize": "none", "layer": "X"}


def test_the_preparation_is_found_in_a_checkpoint_of_an_earlier_version() -> None:
    found = Preparation.find({"state_dict": {}, "epoch": 3, "AnyDataModule": COUNTED})
    assert found == Preparation(("a", "b"), "counts", "log_cpm", 1e4, "counts")
    assert found.unit == "log"
    assert COUNTED.items() >= found.as_plain().items()
    scaled = Preparation.find({"CellDataModule": AS_THEY_CAME})
    assert scaled == Preparation(("a", "b"), "scaled", "none", None, "X")
    synthetic = {key: COUNTED[key] for key in ("genes", "kind", "normalize", "target_sum")}
    assert Preparation.find({"X": synthetic}) == Preparation(("a", "b"), "counts", "log_cpm", 1e4)
    assert Preparation.find({"state_dict": {}, "DigitsDataModule": {}}) is None


@pytest.mark.parametrize("genes", [slice(None), slice(0, 8)])
def test_cells_of_a_run_on_rescaled_log_data_arrive_as_it_saw_them(genes: slice) -> None:
    run = Preparation(GENES[genes], "log", "log_cpm", 1e4)
    log = LOG[:, genes]
    wanted = normalised(log, "log", "log_cpm", 1e4)
    np.testing.assert_allclose(np.expm1(wanted).sum(axis=1), 1e4, rtol=1e-4)
    found = prepared(log, run, GENES[genes], 0.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    if genes == slice(None):
        raw = prepared(COUNTS, run, GENES, 0.0)
        np.testing.assert_allclose(raw, wanted, rtol=1e-5)
