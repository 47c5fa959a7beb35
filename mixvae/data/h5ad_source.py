"""Cells of an HDF5 file of AnnData, of which only the parts asked for are read."""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.cell_files import require_anndata, short_name
from mixvae.data.cell_matrices import CellMatrix, MatrixOnDisk
from mixvae.data.cell_source import RAW, CellSource, X, canonical
from mixvae.data.gene_names import as_words

NOT_CELLS = "it is not an AnnData file (.h5ad) that anndata 0.7 or newer has written"


class H5adSource(CellSource):
    """Cells of an .h5ad file, or of a modality of an .h5mu file, which is closed at the end.

    Columns of obs of a modality are its own, and those that the file has for all modalities.

    Args:
        place: The group that holds them; `mod/rna` of an .h5mu file.
        file: The file's content, where `path` holds it packed.
    """

    def __init__(
        self,
        path: Path,
        place: str = "/",
        gene_names: str | None = None,
        file: IO[bytes] | None = None,
    ) -> None:
        require_anndata()
        import h5py  # comes with anndata

        self.name, self.gene_names, self.file = str(path), gene_names, short_name(path)
        if path.is_dir():
            raise ValueError(f"{path} is a folder; data.path names an .h5ad file")
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}; data.path names an .h5ad file")
        self._packed = file
        try:
            self._file = h5py.File(path if file is None else file, "r")
        except PermissionError:
            raise
        except OSError as error:
            if file is not None:
                file.close()
            if file is not None or h5py.is_hdf5(path):
                raise ValueError(
                    f"{path} cannot be read, as it is truncated or broken: {error}"
                ) from error
            raise ValueError(f"{path} cannot be read: {NOT_CELLS}") from error
        try:
            self._root = root = self._file[place]
            if any("_index" not in getattr(root.get(part), "attrs", ()) for part in ("obs", "var")):
                raise ValueError(f"{path} cannot be read: {NOT_CELLS}")
            index = _index_node(root["obs"])
            # nullable strings are a group of values and a mask
            self._num_cells = int((index if hasattr(index, "shape") else index["values"]).shape[0])
            self.layers = (
                *([X] if X in root else ()),
                *([RAW] if "raw/X" in root else ()),
                *(canonical(str(layer)) for layer in root.get("layers", ())),
            )
            self._own = _columns(root["obs"])
            of_all = () if place == "/" or "obs" not in self._file else _columns(self._file["obs"])
            self.columns = tuple(dict.fromkeys((*self._own, *of_all)))
        except (OSError, KeyError) as error:
            self.close()
            raise ValueError(f"{path} is truncated or broken: {error}") from error
        except BaseException:
            self.close()
            raise

    @cached_property
    def cells(self) -> list[str]:  # type: ignore[override]
        """Names of the cells, read when they are asked for: a million take a second."""
        return _index_of(self._root["obs"])

    @property
    def num_cells(self) -> int:
        """Number of the cells."""
        return self._num_cells

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._packed is not None:
            self._packed.close()

    def _var(self, layer: str) -> str:
        return "raw/var" if layer == RAW else "var"

    def _index(self, layer: str) -> list[str]:
        return _index_of(self._root[self._var(layer)])

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
        row = {name: number for number, name in enumerate(_index_of(self._file["obs"]))}
        values = np.asarray(self._read_column(self._file["obs"][column]))
        return values[[row[cell] for cell in self.cells]]

    def _read_column(self, node: Any) -> Any:
        """A column; anndata 0.7 stores categoricals as codes that refer to `__categories`."""
        reference = node.attrs.get("categories")
        if reference is None:
            return _read_element(node)
        return _coded(node[:], self._file[reference][:])


def _index_node(group: Any) -> Any:
    name = group.attrs["_index"]
    return group[name.decode() if isinstance(name, bytes) else name]


def _index_of(group: Any) -> list[str]:
    return [word or "" for word in as_words(_read_element(_index_node(group)))]


def _columns(group: Any) -> tuple[str, ...]:
    names = group.attrs.get("column-order", ())
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _coded(codes: NDArray[np.integer[Any]], categories: Any) -> NDArray[np.object_]:
    """The words of codes; -1 is missing."""
    words = np.append(np.asarray(as_words(categories), dtype=object), [None])
    return words[codes]


def _read_element(node: Any) -> Any:
    from anndata.io import read_elem

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of elements that old versions wrote without metadata
        return read_elem(node)
