"""Loom files, whose attributes of rows and columns have names that differ between programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixvae.data.cells.tables import NOTES
from mixvae.data.files.anndata_files import require_anndata, require_for
from mixvae.data.files.gene_names import distinct

# Attributes of loom files that name genes and cells, the first that is there.
LOOM = {
    "row": ("Gene", "var_names", "gene_names", "gene_name", "GeneName", "gene", "gene_symbol",
            "Accession", "gene_ids", "gene_id"),
    "col": ("CellID", "obs_names", "cell_names", "cell_name", "cell_id", "barcode", "Barcode"),
}  # fmt: skip


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
