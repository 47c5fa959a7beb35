"""Annotated copies of files of cells: what was there stays as it is stored, to the byte.

Of AnnData's HDF5 files the copy is the file itself with new columns, so that columns, indices and
matrices of any kind come back as they were. Of other formats it is an .h5ad of what was read.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.cells.formats import HDF5_OF_CELLS, CellFile, copy_unpacked
from mixvae.data.cells.genes import check_unique
from mixvae.data.cells.source import AnnDataSource, CellSource
from mixvae.data.files.anndata_files import check_free_path, require_anndata, short_names

# Columns that an annotation writes, and scanpy's colours for them.
WRITTEN = re.compile(
    r"mixvae_(category|agent\d+|probability|agreement|entropy|log_likelihood)(_colors)?"
)
EMBEDDINGS = re.compile("X_mixvae_(category|state|latent|plane|decoded)")


def outputs_of(files: Sequence[CellFile], out: Path) -> list[Path]:
    """The copy of each file: `out` of one, or a file of its name in the folder `out` of several.

    The folder is made; two files of one name are refused.
    """
    if len(files) == 1:
        return [out]
    if out.suffix in (".h5ad", ".h5mu") or out.is_file():
        raise ValueError(f"out={out} must be a folder, for the copies of {len(files)} files")
    endings = [".h5mu" if file.format == "h5mu" else ".h5ad" for file in files]
    shorts = short_names([file.path for file in files])
    names = [short + ending for short, ending in zip(shorts, endings, strict=True)]
    check_unique(names, "output file")
    out.mkdir(parents=True, exist_ok=True)
    return [out / name for name in names]


def check_output(file: CellFile, out: Path, overwrite: bool) -> None:
    """Refuse an output that cannot be written, or that is the input or lies within it."""
    suffix = ".h5mu" if file.path.exists() and file.format == "h5mu" else ".h5ad"
    if out.suffix != suffix:
        raise ValueError(f"out={out} must end in {suffix}")
    path = file.path
    if out.exists() and path.exists() and out.samefile(path):
        raise ValueError(f"out={out} is the input itself, which is never written; name another")
    if path.is_dir() and path.resolve() in out.resolve().parents:
        raise ValueError(f"out={out} lies within the input {path}; name a file elsewhere")
    check_free_path(out, overwrite)
    needed = path.stat().st_size if path.is_file() else 0
    free = shutil.disk_usage(out.absolute().parent).free
    if free < needed:
        raise ValueError(f"out={out} needs {needed:,} bytes, but its disk has {free:,} left")


@dataclass
class Draft:
    """A file to be, in a temporary place.

    Attributes:
        adata: Takes the annotation; without expression where the file is a copy of the input.
        place: The group of the copy that holds the cells; None if `adata` is the whole file.
    """

    adata: Any
    path: Path
    place: str | None
    written: list[str] = field(default_factory=list)  # embeddings that are in the file already

    @classmethod
    def begin(cls, file: CellFile, source: CellSource, temporary: Path) -> Draft:
        """Write what does not depend on the annotation, so that it fails before the work."""
        import pandas

        anndata = require_anndata()
        if file.format in HDF5_OF_CELLS:
            place = file.place
            with temporary.open("wb") as copy:
                copy_unpacked(file.path, copy)
            if _is_current(temporary, place):
                shell = anndata.AnnData(obs=pandas.DataFrame(index=source.cells))
                return cls(shell, temporary, place)
        adata = source.adata if isinstance(source, AnnDataSource) else file.read()
        draft = cls(adata, temporary, None)
        draft._write(adata[: min(2, adata.n_obs)].copy())
        return draft

    def rows(self, name: str, width: int) -> Any:
        """A matrix of obsm in the copy of the input, of that width, whose rows are set in order."""
        assert self.place is not None, "only a copy of the input has rows in its file"
        self.written.append(name)
        return _RowsOfFile(self.path, self.place, name, (self.adata.n_obs, width))

    def finish(self) -> None:
        """Write the annotation."""
        if self.place is None:
            self._write(self.adata)
        else:
            _write_into(self.path, self.place, self.adata, self.written)

    def _write(self, adata: Any) -> None:
        settings = require_anndata().settings
        # an index or column of nullable strings, which anndata 0.12 writes only when allowed to
        allowed = "allow_write_nullable_strings"
        before = getattr(settings, allowed, None)
        try:
            if before is not None:
                setattr(settings, allowed, True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                adata.write_h5ad(self.path)
        except (TypeError, ValueError, KeyError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"these cells cannot be written as .h5ad: {reason}") from error
        finally:
            if before is not None:
                setattr(settings, allowed, before)


def _is_current(path: Path, place: str) -> bool:
    """Whether new columns can be added; anndata 0.7's table of cells has another layout."""
    import h5py

    with h5py.File(path, "r") as file:
        obs = file[place]["obs"]
        return "__categories" not in obs and obs.attrs.get("encoding-version") == "0.2.0"


class _RowsOfFile:
    """A matrix of obsm in a file, whose rows are set; the file is closed in between."""

    def __init__(self, path: Path, place: str, name: str, shape: tuple[int, int]) -> None:
        import h5py

        self.path, self.name = path, f"{place}/obsm/{name}"
        with h5py.File(path, "r+") as file:
            obsm = _mapping(file[place], "obsm")
            if name in obsm:
                del obsm[name]
            attributes = obsm.create_dataset(name, shape, np.float32).attrs
            attributes["encoding-type"], attributes["encoding-version"] = "array", "0.2.0"

    def __setitem__(self, rows: slice, values: Any) -> None:
        import h5py

        with h5py.File(self.path, "r+") as file:
            file[self.name][rows] = values


def _write_into(path: Path, place: str, annotated: Any, written: Sequence[str]) -> None:
    """Write the columns of an AnnData object into a file, in place of an earlier annotation's."""
    import h5py
    from anndata.io import write_elem

    with h5py.File(path, "r+") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = file[place]
        obs = root["obs"]
        for name in [name for name in obs if WRITTEN.fullmatch(name)]:
            del obs[name]
        kept = [name for name in obs.attrs["column-order"] if not WRITTEN.fullmatch(str(name))]
        for name, column in annotated.obs.items():
            write_elem(obs, name, column.values)
        names = [*map(str, kept), *map(str, annotated.obs)]
        obs.attrs["column-order"] = np.array(names, dtype=h5py.string_dtype())
        obsm, uns = _mapping(root, "obsm"), _mapping(root, "uns")
        old = {name for name in obsm if EMBEDDINGS.fullmatch(name)}
        for name in old.difference(written):
            del obsm[name]
        for name in [name for name in uns if WRITTEN.fullmatch(name)]:
            del uns[name]
        for group, values in ((obsm, annotated.obsm), (uns, annotated.uns)):
            for name, value in values.items():
                write_elem(group, name, value)


def _mapping(root: Any, name: str) -> Any:
    """A group of named values, made where it is missing."""
    if name not in root:
        group = root.create_group(name)
        group.attrs["encoding-type"], group.attrs["encoding-version"] = "dict", "0.1.0"
    return root[name]
