import logging

import numpy as np
import pytest
from scipy import sparse

from mixvae.data.cells.genes import find_genes, gene_range, highly_variable, read_gene_list

NAMES = ["Gad1", "Snap25", "Slc17a7", "Actb"]
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_columns_are_aligned_by_name(form):
    found = find_genes(NAMES, ["Actb", "Gad1"])
    taken = found.take(form(MATRIX))
    dense = taken.toarray() if sparse.issparse(taken) else taken
    assert np.array_equal(dense, MATRIX[:, [3, 0]])
    assert found.missing == ()


def test_missing_genes_become_zero_and_are_named(form, caplog):
    with caplog.at_level(logging.WARNING, logger="mixvae"):
        found = find_genes(NAMES, ["Actb", "Pvalb", "Gad1"], max_missing=0.5)
    taken = found.take(form(MATRIX))
    dense = taken.toarray() if sparse.issparse(taken) else taken
    assert np.array_equal(dense, np.column_stack([MATRIX[:, 3], np.zeros(3), MATRIX[:, 0]]))
    assert found.missing == ("Pvalb",)
    assert "1 of 3 wanted genes are missing and taken as 0: Pvalb" in caplog.text


def test_the_same_genes_are_not_copied():
    assert find_genes(NAMES, NAMES).take(MATRIX) is MATRIX


def test_a_list_is_read_in_its_order(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("# markers\nSst\n\n  Gad1 \r\nPvalb")
    assert read_gene_list(path) == ("Sst", "Gad1", "Pvalb")
    path.write_text("ENSG00000141510.18\n")
    assert read_gene_list(path) == ("ENSG00000141510",)
    path.write_text("Sst\nGad1\n", encoding="utf-8-sig")  # as spreadsheets write it
    assert read_gene_list(path) == ("Sst", "Gad1")


def test_genes_that_are_the_same_in_all_cells_are_found(form):
    matrix = np.array([[0, 2, 1, -3], [0, 2, 0, 0], [0, 2, 0, 0]], dtype=np.float32)
    low, high = gene_range(form(matrix))
    assert low.tolist() == [0, 2, 0, -3]
    assert high.tolist() == [0, 2, 1, 0]


def some_counts():
    """300 cells whose first five genes vary more than their mean tells, and gene 7 not at all."""
    random = np.random.default_rng(0)
    counts = random.poisson(3.0, (300, 200)).astype(np.float32)
    counts[:, :5] = random.poisson(6.0, (300, 5)) * (np.arange(300) < 150)[:, None]
    counts[:, 7] = 0
    return counts


def test_genes_that_vary_are_chosen_also_beside_constant_ones():
    cells = sparse.csr_matrix(np.log1p(some_counts()))
    assert highly_variable(cells, 5).tolist() == [0, 1, 2, 3, 4]


def test_a_difference_between_batches_makes_no_gene_variable():
    counts = some_counts()
    first = np.arange(300) % 2 == 0
    counts[first, 20:25] *= 2
    counts[~first, 20:25] = 0
    cells = sparse.csr_matrix(np.log1p(counts))
    batch = np.where(first, "a", "b").tolist()
    assert highly_variable(cells, 5, batch).tolist() == [0, 1, 2, 3, 4]
    assert highly_variable(cells, 10).tolist() == [0, 1, 2, 3, 4, 20, 21, 22, 23, 24]


@pytest.mark.parametrize(
    ("names", "wanted", "share", "message"),
    [
        (NAMES, ["Actb", "Pvalb", "Sst"], 0.2, r"2 of 3 .* max_missing=0.2 .*: Pvalb, Sst"),
        (NAMES, ["ENSMUSG01", "ENSMUSG02"], 1.0, r"none of the 2 wanted genes .* symbols"),
        (NAMES, [name.upper() for name in NAMES], 0.2, r"are there in other letters"),
        (NAMES, NAMES, float("nan"), "max_missing is nan"),
        (NAMES, NAMES, 1.5, "max_missing is 1.5"),
        (["Gad1", "Sst", "Gad1"], NAMES, 0.2, r"1 gene names .* once: Gad1;.*var_names"),
    ],
)
def test_genes_that_are_not_found_are_refused_by_name(names, wanted, share, message):
    with pytest.raises(ValueError, match=message):
        find_genes(names, wanted, share)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n\n", "names no gene"),
        (b"Sst\nSst\n", r"1 genes.txt gene names .* more than once: Sst$"),
        (b"gene,score\nSst,3\n", r"genes.txt is a table, 'gene,score'; one gene name a line"),
        (b"\xff\xfe\x00\x81", "is not a text file"),
    ],
)
def test_bad_lists_are_refused(tmp_path, content, message):
    (tmp_path / "genes.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_gene_list(tmp_path / "genes.txt")
