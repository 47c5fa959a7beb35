"""Files of cells in the formats that biologists have, opened as sources of cells.

The content of a file decides its format, not its name: .h5ad (also packed, .h5ad.gz), a modality of
.h5mu, 10x Genomics' .h5 and its folders of matrix.mtx, loom, and zarr stores. Of .h5ad,
.h5mu and zarr only the parts asked for are read; the others are read whole.
"""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from mixvae.data.cells.source import AnnDataSource, CellSource
from mixvae.data.cells.stored_source import NOT_CELLS, open_h5ad, open_zarr
from mixvae.data.cells.tables import NOTES, find_mtx, only_expression, read_loom, read_mtx
from mixvae.data.files.anndata_files import (
    UnsuitableError,
    require_anndata,
    require_scanpy,
    short_name,
)
from mixvae.data.files.gene_names import distinct

Format = Literal["h5ad", "h5ad.gz", "h5mu", "old", "10x", "mtx", "loom", "zarr"]
HDF5_OF_CELLS: tuple[Format, ...] = ("h5ad", "h5ad.gz", "h5mu")  # of AnnData's present layout
IN_PLACE: tuple[Format, ...] = (*HDF5_OF_CELLS, "zarr")
CELLS = (".h5ad", ".h5ad.gz", ".h5mu", ".h5", ".loom", ".zarr")
HDF5 = b"\x89HDF\r\n\x1a\n"
GZIP = b"\x1f\x8b"
ADDRESS = re.compile(r"\w{2,}:/")  # a Path has one slash left of https://
READS = "mixvae reads .h5ad, .h5ad.gz, .h5mu, 10x .h5, folders of matrix.mtx, .loom and .zarr"
REMEDIES = {
    r"\.(rds|rda|rdata|h5seurat|robj)$": "write an .h5ad in R, as anndataR's write_h5ad() does",
    r"\.(csv|tsv|txt|tab)(\.gz)?$": "in Python: scanpy.read_csv(path).write_h5ad('cells.h5ad'),"
    " transposed (.T) if genes are rows",
    r"\.(xlsx?|ods)$": "in Python: scanpy.read_excel(path, sheet).write_h5ad('cells.h5ad')",
    r"\.(zip|tar|tgz|tar\.gz|bz2|xz|zst|7z)$": "unpack it first",
}


@dataclass(frozen=True)
class CellFile:
    """A file of cells, and how it is to be read.

    Attributes:
        modality: Of an .h5mu file, such as `rna`; None if it has but one.
        gene_names: Column of var whose values name the genes; None for the index.
    """

    path: Path
    modality: str | None = None
    gene_names: str | None = None

    def open(self) -> CellSource:
        """Open the file by its format."""
        require_anndata()
        kind = self.format
        if kind in ("h5ad", "h5mu"):
            return open_h5ad(self.path, self.place, self.gene_names)
        if kind == "h5ad.gz":
            return open_h5ad(self.path, "/", self.gene_names, _unpacked(self.path))
        if kind == "zarr":
            store = self._store
            with self._reading():
                return open_zarr(store, self.gene_names)
        return self._source(self.read())

    def read(self) -> Any:
        """Read the whole file into an AnnData object."""
        kind = self.format
        readers: dict[str, Callable[[Path], Any]] = {
            "old": _read_h5ad,
            "10x": _read_10x,
            "mtx": read_mtx,
            "loom": read_loom,
            "zarr": require_anndata().read_zarr,
        }
        path = self._store if kind == "zarr" else self.path
        with self._reading(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that are not unique, of old formats
            return readers.get(kind, _read_h5ad)(path)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Say of any failure that the file cannot be read as its format."""
        try:
            yield
        except (ImportError, FileNotFoundError, PermissionError, MemoryError, UnsuitableError):
            raise
        # the readers fail with many kinds of errors
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"{self.path} cannot be read as {DESCRIBED[self.format]}; is it damaged, truncated"
                f" or half written? {reason}"
            ) from error

    def check_in_place(self) -> None:
        """Refuse a format that cannot stay on disk."""
        if self.format not in IN_PLACE:
            raise ValueError(
                f"backed is true, but {self.path} is {DESCRIBED[self.format]}, which is read"
                " whole; leave backed out, or write it as .h5ad"
            )

    @property
    def format(self) -> Format:
        """The format, by content; refused with the remedy if mixvae cannot read it."""
        path = self.path
        kind = _format_of(path)
        if self.modality is not None and kind != "h5mu" and not (path / "mod").is_dir():
            raise ValueError(
                f"data.modality is {self.modality!r}, but {path} has no modalities, as an .h5mu"
                " file has; leave it out"
            )
        return kind

    @property
    def place(self) -> str:
        """The group of the file that holds the cells."""
        if self.format != "h5mu":
            return "/"
        import h5py

        with h5py.File(self.path, "r") as file:
            return f"mod/{self._chosen(list(map(str, file['mod'])))}"

    @property
    def _store(self) -> Path:
        """The folder of a zarr store that holds the cells: one of its modalities, if it has any."""
        mod = self.path / "mod"
        if not mod.is_dir():
            return self.path
        return mod / self._chosen(sorted(entry.name for entry in mod.iterdir() if entry.is_dir()))

    def _chosen(self, there: Sequence[str]) -> str:
        """The modality that is read; refused if it is missing or if there are several."""
        if self.modality in there or (self.modality is None and len(there) == 1):
            return self.modality or there[0]
        told = f"data.modality is {self.modality!r}, but" if self.modality else "choose one:"
        raise ValueError(
            f"{told} {self.path} has the modalities {', '.join(there)}; set data.modality="
            f"{next((name for name in there if name.lower() in ('rna', 'gex')), there[0])}"
        )

    def _source(self, adata: Any) -> AnnDataSource:
        source = AnnDataSource(adata, str(self.path), self.gene_names)
        source.notes = tuple(map(str, adata.uns.pop(NOTES, ())))
        source.file = short_name(self.path)
        return source


DESCRIBED: dict[str, str] = {
    "h5ad": "an AnnData file (.h5ad)",
    "h5ad.gz": "a packed AnnData file",
    "h5mu": "a MuData file",
    "old": "an AnnData file of an old version",
    "10x": "10x Genomics' HDF5",
    "mtx": "a folder of matrix.mtx, barcodes and features",
    "loom": "a loom file",
    "zarr": "a zarr store of AnnData",
}


def _format_of(path: Path) -> Format:
    if path.is_dir():
        return _format_of_folder(path)
    if not path.is_file():
        told = "an address is not read: download it first" if ADDRESS.match(str(path)) else READS
        if "*" in str(path):
            told = "a pattern is not read: name several as data.path=[a.h5ad,b.h5ad]"
        raise FileNotFoundError(f"no file {path}; data.path names an .h5ad file ({told})")
    import h5py

    name = path.name.lower()
    if h5py.is_hdf5(path) and not name.endswith(".h5seurat"):  # also behind the header of MuData
        return _format_of_hdf5(path)
    with path.open("rb") as file:
        start = file.read(len(GZIP))
    if name.endswith((".mtx", ".mtx.gz")):
        return "mtx"
    if start == GZIP and _packed_start(path) == HDF5:
        return "h5ad.gz"
    for pattern, remedy in REMEDIES.items():
        if re.search(pattern, name):
            raise ValueError(f"{path} cannot be read: {NOT_CELLS}; {remedy}. {READS}")
    raise ValueError(f"{path} cannot be read: {NOT_CELLS}. {READS}")


def _format_of_folder(path: Path) -> Format:
    if any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs")):
        return "zarr"
    if find_mtx(path):
        return "mtx"
    inside = [
        entry
        for entry in sorted(path.iterdir(), key=lambda entry: ("filtered" not in entry.name, entry))
        if entry.name.endswith(CELLS) or (entry.is_dir() and find_mtx(entry))
    ]
    told = f"name what is inside, such as {inside[0]}" if inside else READS
    half = "; as a zarr store it is half written" if path.suffix == ".zarr" else ""
    raise ValueError(f"{path} is a folder without cells{half}: {told}")


def _format_of_hdf5(path: Path) -> Format:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            keys = set(file)
            if "mod" in keys and "obs" in keys:
                return "h5mu"
            if {"row_attrs", "col_attrs", "matrix"} <= keys:
                return "loom"
            if "obs" not in keys and any(
                isinstance(file[key], h5py.Group) and "barcodes" in file[key] for key in keys
            ):
                return "10x"
            # Before anndata 0.7, obs was a table
            return "old" if isinstance(file.get("obs"), h5py.Dataset) else "h5ad"
    except (OSError, KeyError, RuntimeError):
        return "h5ad"  # whose reader tells the fault


def _packed_start(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(len(HDF5))
    except (OSError, EOFError):
        return b""


def copy_unpacked(path: Path, copy: IO[bytes]) -> None:
    """Copy a file that may be packed by gzip into an open file, unpacked."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    try:
        with gzip.open(path) if packed else path.open("rb") as source:
            shutil.copyfileobj(source, copy, 1 << 24)
    except EOFError as error:
        raise ValueError(f"{path} cannot be read, as it is truncated: {error}") from error


def _unpacked(path: Path) -> IO[bytes]:
    """A temporary file, which is removed when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the source
    try:
        copy_unpacked(path, file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _read_h5ad(path: Path) -> Any:
    return require_anndata().read_h5ad(path)


def _read_10x(path: Path) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        genomes = [name for name in file if "barcodes" in file[name]]
    if len(genomes) > 1:
        raise UnsuitableError(
            f"{path} has the genomes {', '.join(genomes)}; in Python:"
            f" scanpy.read_10x_h5(path, genome={genomes[0]!r}).write_h5ad('cells.h5ad')"
        )
    adata = only_expression(require_scanpy().read_10x_h5(path, gex_only=False), path.name)
    ids = adata.var["gene_ids"] if "gene_ids" in adata.var else range(adata.n_vars)
    adata.var_names = distinct(list(map(str, adata.var_names)), list(map(str, ids)))
    return adata
