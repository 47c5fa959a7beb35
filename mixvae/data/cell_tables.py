"""10x Genomics' folders: matrix.mtx with barcodes and features, plain or packed, old or new.

Cell Ranger 2 writes genes.tsv, Cell Ranger 3 features.tsv.gz; files of GEO have a prefix, and any
of them may be packed or not, which scanpy's reader refuses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.cell_files import require_anndata
from mixvae.data.gene_names import distinct

EXPRESSION = "Gene Expression"


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
        raise ValueError(f"{path} has {len(found)} matrices ({names}); name one of them")
    matrix = found[0]
    prefix = matrix.name.removesuffix(".gz").removesuffix("matrix.mtx")
    barcodes = _beside(matrix, prefix, "barcodes.tsv")
    features = _beside(matrix, prefix, "features.tsv", "genes.tsv")
    x = sparse.csr_matrix(io.mmread(matrix)).T.tocsr().astype(np.float32)
    options = {"sep": "\t", "header": None, "dtype": str, "keep_default_na": False}
    cells = pandas.read_csv(barcodes, **options)[0]
    table = pandas.read_csv(features, **options)
    if x.shape != (len(cells), len(table)):
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
    if table.shape[1] > 2 and EXPRESSION in set(table[2]):
        adata = adata[:, (table[2] == EXPRESSION).to_numpy()].copy()
    return adata


def _beside(matrix: Path, prefix: str, *names: str) -> Path:
    """The file of one of these names, plain or packed."""
    for name in names:
        for end in ("", ".gz"):
            path = matrix.parent / f"{prefix}{name}{end}"
            if path.is_file():
                return path
    raise FileNotFoundError(f"no {prefix}{' or '.join(names)} (or .gz) beside {matrix}")
