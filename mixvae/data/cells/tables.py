"""Readers of 10x Genomics' folders and of loom files; the choice of genes among features.

A folder holds matrix.mtx with barcodes and features, plain or packed: Cell Ranger 2 writes
genes.tsv, Cell Ranger 3 features.tsv.gz; files of GEO have a prefix, and any of them may be packed
or not, which scanpy's reader refuses. Attributes of loom files have names that differ between
programs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.files.anndata_files import UnsuitableError, require_anndata, require_for
from mixvae.data.files.gene_names import distinct

NOTES = "_mixvae_notes"  # in uns, until the source is made
EXPRESSION = "gene expression"
# Attributes of loom files that name genes and cells, the first that is there.
LOOM = {
    "row": ("Gene", "var_names", "gene_names", "gene_name", "GeneName", "gene", "gene_symbol",
            "Accession", "gene_ids", "gene_id"),
    "col": ("CellID", "obs_names", "cell_names", "cell_name", "cell_id", "barcode", "Barcode"),
}  # fmt: skip


def find_mtx(path: Path) -> list[Path]:
    """Matrices of a folder, or the file itself."""
    if path.is_file():
        return [path]
    return sorted([*path.glob("*matrix.mtx"), *path.glob("*matrix.mtx.gz")])


def read_mtx(path: Path) -> Any:
    """Read a folder, or a matrix.mtx and what lies beside it, into an AnnData object.

    Genes are named by symbols; a symbol that stands twice has its id added. Features that are not
    gene expression, such as antibodies, are left out.
    """
    import pandas
    from scipy import io, sparse

    anndata = require_anndata()
    found = find_mtx(path)
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise UnsuitableError(f"{path} has {len(found)} matrices ({names}); name one of them")
    matrix = found[0]
    prefix = matrix.name.removesuffix(".gz").removesuffix("matrix.mtx")
    barcodes = _beside(matrix, prefix, "barcodes.tsv")
    features = _beside(matrix, prefix, "features.tsv", "genes.tsv")
    x = sparse.csr_matrix(io.mmread(matrix)).T.tocsr().astype(np.float32)
    options = {"sep": "\t", "header": None, "dtype": str, "keep_default_na": False}
    cells = pandas.read_csv(barcodes, **options)[0]
    table = pandas.read_csv(features, **options)
    shape = len(cells), len(table)
    if x.shape != shape == x.T.shape:  # as kallisto and Parse write it
        x = x.T.tocsr()
    if x.shape != shape:
        raise ValueError(
            f"{matrix.name} has {x.shape[0]} cells and {x.shape[1]} genes, but {barcodes.name}"
            f" names {len(cells)} and {features.name} {len(table)}"
        )
    ids = table[0].tolist()
    symbols = table[1].tolist() if table.shape[1] > 1 else ids
    var = pandas.DataFrame({"gene_ids": ids}, index=distinct(symbols, ids))
    if table.shape[1] > 2:
        var["feature_types"] = table[2].to_numpy()
    adata = anndata.AnnData(x, obs=pandas.DataFrame(index=cells.tolist()), var=var)
    return only_expression(adata, features.name)


def only_expression(adata: Any, name: str) -> Any:
    """The gene expression of cells that may have other features, such as antibodies or peaks."""
    if "feature_types" not in adata.var:
        return adata
    kinds = adata.var["feature_types"].astype(str)
    expressed = (kinds.str.lower() == EXPRESSION).to_numpy()
    others = ", ".join(sorted(set(kinds[~expressed])))
    if not expressed.any():
        raise UnsuitableError(f"{name} has features of {others}, but none of gene expression")
    adata = adata[:, expressed].copy()
    if others:
        adata.uns[NOTES] = [f"{(~expressed).sum()} features of {others} are left out"]
    return adata


def _beside(matrix: Path, prefix: str, *names: str) -> Path:
    """The file of one of these names, plain or packed."""
    for name in names:
        for end in ("", ".gz"):
            path = matrix.parent / f"{prefix}{name}{end}"
            if path.is_file():
                return path
    if not matrix.name.endswith(("matrix.mtx", "matrix.mtx.gz")):
        raise FileNotFoundError(
            f"{matrix} is not called matrix.mtx, so the names beside it are unknown; call them"
            " matrix.mtx, barcodes.tsv and features.tsv"
        )
    raise FileNotFoundError(f"no {prefix}{' or '.join(names)} (or .gz) beside {matrix}")


def read_loom(path: Path) -> Any:
    """Read a file into an AnnData object, and note how its parts are named."""
    require_for("loompy", "loom files")
    import h5py

    with h5py.File(path, "r") as file:
        there = {axis: list(file[f"{axis}_attrs"]) for axis in ("row", "col")}
        has_spliced = "spliced" in file.get("layers", ())
    gene, cell = (next((n for n in LOOM[axis] if n in there[axis]), LOOM[axis][0]) for axis in LOOM)
    adata = require_anndata().io.read_loom(
        path, sparse=True, validate=False, var_names=gene, obs_names=cell
    )
    notes = []
    if has_spliced:
        notes.append("X is the loom's layer 'spliced', and its main matrix is the layer 'matrix'")
    if gene not in there["row"]:
        columns = ", ".join(there["row"]) or "none"
        notes.append(f"genes are named by numbers; data.gene_names=COLUMN names one of {columns}")
    adata.uns[NOTES] = notes
    for axis, names in (("obs", adata.obs_names), ("var", adata.var_names)):
        if not names.is_unique:
            numbers = list(map(str, range(len(names))))
            setattr(adata, f"{axis}_names", distinct(list(map(str, names)), numbers))
    return adata
