"""Readers of 10x Genomics' folders and of zarr stores, which are read whole.

A folder holds matrix.mtx with barcodes and features, plain or packed: Cell Ranger 2 writes
genes.tsv, Cell Ranger 3 features.tsv.gz; files of GEO have a prefix, and any of them may be packed
or not, which scanpy's reader refuses. A chunk that is missing in a store reads as 0, so a
half-written store is caught.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.cell_files import require_anndata, require_for
from mixvae.data.gene_names import distinct

NOTES = "_mixvae_notes"  # in uns, until the source is made

EXPRESSION = "gene expression"


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
    if table.shape[1] > 2:
        expressed = (table[2].str.lower() == EXPRESSION).to_numpy()
        if not expressed.any():
            raise ValueError(
                f"{features.name} has features of {', '.join(sorted(set(table[2])))}, but none of"
                " gene expression"
            )
        adata = adata[:, expressed].copy()
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


def read_zarr(path: Path) -> Any:
    """Read a store into an AnnData object; what it lacks is refused or noted."""
    zarr = require_for("zarr", "zarr stores")
    notes = _check(zarr.open_group(str(path), mode="r"))
    adata = require_anndata().read_zarr(path)
    for name in ("obs", "var"):
        index = getattr(adata, f"{name}_names")
        if (index.astype(str) == "").any():
            raise ValueError(f"{name} has names that are empty")
    if notes:
        adata.uns[NOTES] = notes
    return adata


def _check(root: Any) -> list[str]:
    """Refuse missing parts; return what may be missing, as chunks of zeros are not stored."""
    if "mod" in root:
        names = sorted(map(str, root["mod"]))
        raise ValueError(
            f"it is a MuData store of {', '.join(names)}; name one: data.path=STORE/mod/{names[0]}"
        )
    for part in ("obs", "var"):
        if part not in root or "_index" not in root[part].attrs:
            raise ValueError(f"it has no {part}")
    notes = []
    places = [
        "X",
        "raw/X",
        *(f"layers/{name}" for name in root.get("layers", ())),
    ]
    for place in places:
        if place not in root:
            continue
        node = root[place]
        if node.attrs.get("encoding-type") in ("csr_matrix", "csc_matrix"):
            for part in ("data", "indices", "indptr"):
                if part not in node or node[part].nchunks_initialized < node[part].nchunks:
                    raise ValueError(f"{place}/{part} lacks chunks")
            if int(node["indptr"][-1]) != node["data"].shape[0]:
                raise ValueError(f"the parts of {place} have lengths that do not fit")
        elif hasattr(node, "nchunks") and node.nchunks_initialized < node.nchunks:
            missing = node.nchunks - node.nchunks_initialized
            notes.append(f"{missing} of {node.nchunks} chunks of {place} are missing, read as 0")
    return notes
