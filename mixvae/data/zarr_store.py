"""Zarr stores of AnnData. A chunk that is missing reads as 0, so a half-written store is caught."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixvae.data.cell_files import require_anndata, require_for

NOTES = "_mixvae_notes"  # in uns, until the source is made


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
