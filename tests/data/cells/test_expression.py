import logging
import re

import numpy as np
import pytest
from scipy import sparse

from mixvae.data.cells.expression import (
    check_counts,
    check_expression,
    check_of_kind,
    extent_of,
    library_sizes,
    log_cpm,
    to_apply,
)
from mixvae.data.cells.log_scales import are_expected_counts, common_scale
from mixvae.data.cells.matrices import MatrixInMemory

COUNTS = np.array([[0, 3, 1], [2, 0, 0], [0, 0, 0]], dtype=np.float32)


def both(matrix):
    return [matrix, sparse.csr_matrix(matrix)]


@pytest.mark.parametrize(
    ("matrix", "kind"),
    [
        (COUNTS, "counts"),
        (COUNTS.astype(np.int64), "counts"),
        (np.log1p(COUNTS), "log"),
        (COUNTS * 100.5, "linear"),
        (COUNTS - COUNTS.mean(0), "scaled"),
        (np.array([[-1.0, 2.0]]), "scaled"),
    ],
)
def test_kinds_are_told_by_their_values_dense_and_sparse(matrix, kind):
    assert [extent_of(form).kind for form in both(matrix)] == [kind, kind]


def test_extents_of_parts_join_to_that_of_the_whole():
    whole = np.vstack([COUNTS, np.log1p(COUNTS), COUNTS * 100.5])
    parts = [extent_of(part) for part in np.split(whole, 9)]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.joined(part)
    assert joined == extent_of(whole)
    assert joined.kind == "linear"


@pytest.mark.parametrize("target_sum", [1e4, 1e6])
def test_log_cpm_is_its_formula_dense_and_sparse(target_sum):
    expected = np.log1p(target_sum * COUNTS[:2] / COUNTS[:2].sum(1, keepdims=True))
    for form in both(COUNTS):
        made = log_cpm(form, target_sum=target_sum)
        assert sparse.issparse(made) == sparse.issparse(form)
        assert made.dtype == np.float32
        dense = made.toarray() if sparse.issparse(made) else made
        np.testing.assert_allclose(dense[:2], expected, rtol=1e-6)
        assert not dense[2].any(), "a cell without counts stays 0"
    assert COUNTS[0, 1] == 3, "the input is not changed"


def test_log_cpm_of_entries_stored_in_parts_is_that_of_their_sum():
    parts = sparse.csr_matrix(([1, 2, 1], [1, 1, 0], [0, 3]), shape=(1, 3))
    whole = sparse.csr_matrix([[1, 3, 0]])
    np.testing.assert_allclose(log_cpm(parts).toarray(), log_cpm(whole).toarray())
    assert parts.nnz == 3, "the input is not changed"


def test_entries_stored_in_parts_are_counts_if_their_sums_are():
    counts = sparse.csr_matrix(np.array([[3.0, 0.0, 1.0], [0.0, 5.0, 2.0]]))
    halves = (counts.data / 2).repeat(2), counts.indices.repeat(2), counts.indptr * 2
    parts = sparse.csr_matrix(halves, shape=counts.shape)
    assert MatrixInMemory(parts, "abc", "X", "X").look_through().kind == "counts"
    assert parts.nnz == 8


def test_log_cpm_takes_the_library_of_all_genes_where_some_are_kept():
    library = library_sizes(COUNTS)
    assert library.tolist() == [4, 2, 0]
    np.testing.assert_allclose(log_cpm(COUNTS[:, :2], library), log_cpm(COUNTS)[:, :2])


def test_log_cpm_does_not_depend_on_how_deep_a_cell_was_read():
    np.testing.assert_allclose(log_cpm(COUNTS * 7), log_cpm(COUNTS), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "normalize", "applied", "level"),
    [
        ("counts", "auto", "log_cpm", logging.INFO),
        ("linear", "auto", "log_cpm", logging.INFO),
        ("log", "auto", "none", logging.INFO),
        ("scaled", "auto", "none", logging.WARNING),
        ("counts", "none", "none", logging.WARNING),
        ("log", "log_cpm", "log_cpm", logging.WARNING),
        ("counts", "log_cpm", "log_cpm", logging.INFO),
    ],
)
def test_what_is_found_and_done_is_said(kind, normalize, applied, level, caplog):
    with caplog.at_level(logging.INFO, logger="mixvae"):
        assert to_apply(kind, normalize, "layer spliced") == applied
    assert max(record.levelno for record in caplog.records) == level
    assert "layer spliced holds" in caplog.text


def test_the_common_scale_is_found_where_there_is_one():
    counts = np.random.default_rng(0).poisson(3.0, (50, 30)).astype(np.float32)
    log = log_cpm(counts)
    assert common_scale(log_cpm(counts, target_sum=1e4)) == pytest.approx(1e4, rel=1e-5)
    assert common_scale(sparse.csr_matrix(log)) == pytest.approx(1e6, rel=1e-5)
    assert common_scale(log[:, :10]) is None
    assert common_scale(np.log2(1 + np.expm1(log)), "log2(1 + x)") == pytest.approx(1e6, rel=1e-5)
    assert common_scale(np.zeros((4, 3))) is None


def at(value):
    broken = COUNTS.copy()
    broken[1, 0] = value
    return broken


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [(check_expression, value, f"X holds {value}") for value in (np.nan, np.inf, -np.inf)]
    + [(check_counts, -1.0, "X holds -1;")],
)
def test_values_that_are_not_finite_or_no_counts_are_refused(form, check, value, message):
    with pytest.raises(ValueError, match=message):
        check(form(at(value)), "X")
    check(form(COUNTS), "X")


COUNTED = np.random.default_rng(1).poisson(3.0, (60, 40)).astype(np.float64)
SHARES = COUNTED / COUNTED.sum(1, keepdims=True)
UNITS = {
    "shares": (SHARES, "linear", ""),
    "percent": (100 * SHARES, "linear", ""),
    "per median, no log": (120 * SHARES, "linear", ""),
    "per median, no log, chosen genes": ((120 * SHARES)[:, :15], "linear", ""),
    "expected counts": (COUNTED + 0.25 * (COUNTED > 0), "linear", ""),
    "halves": (COUNTED / 2, "linear", ""),
    "log(1 + x)": (np.log1p(COUNTED), "log", ""),
    "log of shares": (np.log1p(1e4 * SHARES), "log", ""),
    "log of shares, chosen genes": (np.log1p(1e4 * SHARES)[:, :15], "log", ""),
    "log2(1 + x)": (np.log2(1 + COUNTED), "log", r"log2\(1 \+ x\) of counts.*np\.log\(2\)"),
    "log10 of shares": (np.log10(1 + 1e4 * SHARES), "log", r"log10\(1 .*np\.log\(10\)"),
    "roots": (np.sqrt(COUNTED), "log", r"the square root of counts.*square it"),
    "large roots": (np.sqrt(1e5 * SHARES), "linear", r"the square root of counts.*square it"),
}


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_of_values_that_are_not_whole(form, unit, caplog):
    values, kind, warning = UNITS[unit]
    genes = [str(gene) for gene in range(values.shape[1])]
    found = MatrixInMemory(form(values), genes, "X", "X of a.h5ad").look_through()
    assert found.kind == kind
    assert re.search(warning, caplog.text) if warning else not caplog.text


def test_expected_counts_are_counts_and_log_or_scaled_data_are_not(form):
    halves = form(COUNTED / 2)
    assert are_expected_counts(halves, halves, "X")
    for values in (COUNTED, np.log1p(COUNTED)):
        assert not are_expected_counts(form(values), form(values), "X")
    with pytest.raises(ValueError, match=r"scaled to 120 per cell; .* data\.counts_layer=NAME"):
        are_expected_counts(form(120 * SHARES), form(120 * SHARES), "X")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_expression(np.zeros((0, 3))), "has shape"),
        (lambda: check_expression(np.zeros(3)), "has shape"),
        (lambda: check_expression(np.array([["a", "b"]])), "numbers are needed"),
        (lambda: to_apply("scaled", "log_cpm", "X"), "log_cpm but X holds scaled"),
        (lambda: log_cpm(COUNTS, target_sum=0), "target_sum is 0"),
    ],
)
def test_what_no_logarithm_is_made_of_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_libraries_are_sums_of_rows_also_of_empty_ones_and_across_blocks(form, monkeypatch):
    monkeypatch.setattr("mixvae.data.cells.expression.ROWS", 3)
    counts = np.random.default_rng(0).poisson(0.3, size=(11, 6)).astype(np.float32)
    counts[[0, 4, 10]] = 0
    np.testing.assert_array_equal(library_sizes(form(counts)), counts.sum(axis=1))


def test_values_unlike_those_that_told_the_kind_are_named():
    counts = np.array([[1, 0, 2.0]], dtype=np.float32)
    for form in (np.asarray, sparse.csr_matrix):
        check_of_kind(form(counts), "counts", "X")
        with pytest.raises(ValueError, match="X holds nan"):
            check_of_kind(form(counts * np.nan), "counts", "X")
        with pytest.raises(ValueError, match=r"X holds raw counts .* but 0.5 in others"):
            check_of_kind(form(counts / 2), "counts", "X")
        with pytest.raises(ValueError, match=r"X holds log-.* but -2 in others"):
            check_of_kind(form(-counts), "log", "X")
