"""Cells of an HDF5 file or a zarr store of AnnData: only the parts asked for are read."""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.cells.matrices import CellMatrix, MatrixOnDisk, reading
from mixvae.data.cells.source import RAW, CellSource, X, canonical
from mixvae.data.files.anndata_files import require_for, short_name
from mixvae.data.files.gene_names import as_words

NOT_CELLS = "it is not an AnnData file (.h5ad) that anndata 0.7 or newer has written"


class StoredSource(CellSource):
    """Cells of an .h5ad file, a modality of an .h5mu file or a zarr store; closed at the end.

    Columns of obs of a modality are its own, and those that the file has for all modalities.

    Args:
        file: The open file, an h5py or zarr group.
        place: The group in it that holds the cells; `mod/rna` of an .h5mu file.
        packed: The file's content where it lies packed on disk, to be closed too.
    """

    def __init__(
        self,
        name: str,
        file: Any,
        place: str = "/",
        gene_names: str | None = None,
        packed: IO[bytes] | None = None,
    ) -> None:
        self.name, self.gene_names, self.file = name, gene_names, short_name(Path(name))
        self._file, self._packed = file, packed
        try:
            self._root = root = file[place] if place != "/" else file
            if any("_index" not in getattr(root.get(part), "attrs", ()) for part in ("obs", "var")):
                raise ValueError(f"{name} cannot be read: {NOT_CELLS}")
            index = _index_node(root["obs"])
            # nullable strings are a group of values and a mask
            self._num_cells = int((index if hasattr(index, "shape") else index["values"]).shape[0])
            self.layers = (
                *([X] if X in root else ()),
                *([RAW] if "raw/X" in root else ()),
                *map(canonical, _layers(root)),
            )
            self._own = _columns(root["obs"])
            of_all = () if place == "/" or "obs" not in file else _columns(file["obs"])
            self.columns = tuple(dict.fromkeys((*self._own, *of_all)))
        except (OSError, KeyError) as error:
            self.close()
            raise ValueError(f"{name} is truncated or broken: {error}") from error
        except BaseException:
            self.close()
            raise

    @cached_property
    def cells(self) -> list[str]:  # type: ignore[override]
        """Names of the cells, read when they are asked for: a million take a second."""
        return self._names_of(self._root["obs"])

    @property
    def num_cells(self) -> int:
        """Number of the cells."""
        return self._num_cells

    def close(self) -> None:
        """Close the file."""
        if hasattr(self._file, "close"):  # a zarr group has nothing to close
            self._file.close()
        if self._packed is not None:
            self._packed.close()

    def _var(self, layer: str) -> str:
        return "raw/var" if layer == RAW else "var"

    def _index(self, layer: str) -> list[str]:
        return self._names_of(self._root[self._var(layer)])

    def _var_columns(self, layer: str) -> tuple[str, ...]:
        return _columns(self._root[self._var(layer)])

    def _var_column(self, layer: str, column: str) -> Any:
        return self._read_column(self._root[self._var(layer)][column])

    def _matrix(self, layer: str, genes: list[str], name: str) -> CellMatrix:
        own = layer.removeprefix("layers/")
        place = {X: "X", RAW: "raw/X"}.get(layer, f"layers/{own}")
        return MatrixOnDisk(self._root[place], genes, layer, name)

    def _column(self, column: str) -> Any:
        if column in self._own:
            return self._read_column(self._root["obs"][column])
        row = {name: number for number, name in enumerate(self._names_of(self._file["obs"]))}
        values = self._read_column(self._file["obs"][column])
        return values[[row[cell] for cell in self.cells]]

    def _read_column(self, node: Any) -> Any:
        """A column; anndata 0.7 stores categoricals as codes that refer to `__categories`."""
        from anndata.io import read_elem

        reference = node.attrs.get("categories")
        with reading(f"{node.name.strip('/')} of {self.name}"), warnings.catch_warnings():
            if reference is not None:
                return _coded(node[:], self._file[reference][:])
            warnings.simplefilter("ignore")  # of elements that old versions wrote without metadata
            return read_elem(node)

    def _names_of(self, group: Any) -> list[str]:
        return [word or "" for word in as_words(self._read_column(_index_node(group)))]


def open_h5ad(
    path: Path, place: str, gene_names: str | None, packed: IO[bytes] | None = None
) -> StoredSource:
    """Open an .h5ad or .h5mu file, or its content that lies packed on disk."""
    import h5py  # comes with anndata

    try:
        file = h5py.File(path if packed is None else packed, "r")
    except PermissionError:
        raise
    except OSError as error:
        if packed is not None:
            packed.close()
        if packed is not None or h5py.is_hdf5(path):
            raise ValueError(
                f"{path} cannot be read, as it is truncated or broken: {error}"
            ) from error
        raise ValueError(f"{path} cannot be read: {NOT_CELLS}") from error
    return StoredSource(str(path), file, place, gene_names, packed)


def open_zarr(path: Path, gene_names: str | None) -> StoredSource:
    """Open a zarr store; what it lacks is refused or noted."""
    group = require_for("zarr", "zarr stores").open_group(str(path), mode="r")
    notes = _check_store(group)
    source = StoredSource(str(path), group, "/", gene_names)
    source.notes = notes
    return source


def _check_store(root: Any) -> tuple[str, ...]:
    """Refuse missing parts; return what may be missing, as chunks of zeros are not stored."""
    for part in ("obs", "var"):
        if part not in root or "_index" not in root[part].attrs:
            raise ValueError(f"it has no {part}")
        index = _index_node(root[part])
        _check_chunks(index if hasattr(index, "shape") else index["values"], f"names of {part}")
    notes = []
    for place in ("X", "raw/X", *(f"layers/{name}" for name in _layers(root))):
        node = root.get(place)
        if node is None:
            continue
        if node.attrs.get("encoding-type") in ("csr_matrix", "csc_matrix"):
            for part in ("data", "indices", "indptr"):
                _check_chunks(node.get(part), f"{place}/{part}")
        elif hasattr(node, "nchunks") and node.nchunks_initialized < node.nchunks:
            missing = node.nchunks - node.nchunks_initialized
            notes.append(f"{missing} of {node.nchunks} chunks of {place} are missing, read as 0")
    return tuple(notes)


def _check_chunks(array: Any, name: str) -> None:
    if array is None or array.nchunks_initialized < array.nchunks:
        raise ValueError(f"{name} lacks chunks")


def _index_node(group: Any) -> Any:
    name = group.attrs["_index"]
    return group[name.decode() if isinstance(name, bytes) else name]


def _layers(root: Any, within: str = "layers") -> list[str]:
    """Names of the layers; anndata before 0.13 stored one called `a/b` as `b` in a group `a`."""
    found = []
    for name in map(str, root.get(within, ())):
        place = f"{within}/{name}"
        node = root[place]
        is_matrix = hasattr(node, "dtype") or "encoding-type" in node.attrs or "indptr" in node
        found += [place.removeprefix("layers/")] if is_matrix else _layers(root, place)
    return found


def _columns(group: Any) -> tuple[str, ...]:
    names = group.attrs.get("column-order", ())
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _coded(codes: NDArray[np.integer[Any]], categories: Any) -> NDArray[np.object_]:
    """The words of codes; -1 is missing."""
    words = np.append(np.asarray(as_words(categories), dtype=object), [None])
    return words[codes]
