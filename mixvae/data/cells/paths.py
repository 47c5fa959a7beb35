"""What `data.path` names: a file of cells, several, AnnData objects, or none: built-in cells."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixvae.data.cells.formats import CellFile
from mixvae.data.cells.genes import check_unique
from mixvae.data.cells.joined import JoinedSource
from mixvae.data.cells.source import AnnDataSource, CellSource
from mixvae.data.files.anndata_files import State, check_unchanged, require_scanpy, state_of
from mixvae.data.files.given import as_labels, find, is_anndata, is_given, label_words

BUILT_IN = "pbmc68k_reduced"
NAMED = 3  # files that stand in the name of the data


@dataclass(frozen=True)
class CellPaths:
    """Files of cells and names of AnnData objects, see `CellFile` for the other settings."""

    paths: tuple[str, ...]
    modality: str | None = None
    gene_names: str | None = None

    def __post_init__(self) -> None:
        places = [p if is_given(p) else str(Path(p).expanduser().resolve()) for p in self.paths]
        check_unique(places, "file")

    @property
    def name(self) -> str:
        """Short name of the data."""
        more = f"+{len(self.paths) - NAMED}" if len(self.paths) > NAMED else ""
        return "+".join(Path(path).stem for path in self.paths[:NAMED]) + more or BUILT_IN

    def open(self) -> CellSource:
        """Open all as one source, which is a context manager."""
        if not self.paths:
            cells = require_scanpy().datasets.pbmc68k_reduced()
            return AnnDataSource(cells, BUILT_IN, self.gene_names)
        with ExitStack() as stack:
            sources = [
                AnnDataSource(find(path), f"AnnData object {number}", self.gene_names)
                if is_given(path)
                else stack.enter_context(self._file(path).open())
                for number, path in enumerate(self.paths)
            ]
            source = sources[0] if len(sources) == 1 else JoinedSource(sources)
            stack.pop_all()  # closed by the source itself
        return source

    @property
    def state(self) -> tuple[State, ...]:
        """What changes when one of the files is written to."""
        return tuple(state_of(file.path) for file in self._files)

    def check_unchanged(self, state: tuple[State, ...]) -> None:
        """Refuse files of which one was written to, replaced or removed since this state."""
        for file, own in zip(self._files, state, strict=True):
            check_unchanged(file.path, own)

    def check_in_place(self) -> None:
        """Refuse formats that cannot stay on disk."""
        for file in self._files:
            file.check_in_place()

    @property
    def _files(self) -> list[CellFile]:
        return [self._file(path) for path in self.paths if not is_given(path)]

    def _file(self, path: str) -> CellFile:
        return CellFile(Path(path).expanduser(), self.modality, self.gene_names)


def check_object(value: Any, taker: str) -> None:
    """Refuse what is not an AnnData object in memory."""
    if hasattr(value, "mod") and hasattr(value, "obs_names"):
        raise ValueError(
            f"{taker} takes an AnnData object, got {type(value).__name__} of"
            f" {', '.join(value.mod)}; give one modality: data.mod[{next(iter(value.mod), '')!r}]"
        )
    if not is_anndata(value):
        raise ValueError(
            f"{taker} takes an AnnData object, got {type(value).__name__}; make one of a table or"
            " array, cells by genes: anndata.AnnData(table). Give images to images_cpl, a dict of"
            " arrays to multimodal_mmvm"
        )
    if value.isbacked:
        raise ValueError(
            "the AnnData object is backed by a file; name the file, data.path=FILE"
            " data.backed=true, or read it first: .to_memory()"
        )


def in_order_of(adata: Any, labels: Any) -> Any:
    """Labels that have names of cells, such as a column of a table, in the order of the cells."""
    names: Any = getattr(labels, "index", None)
    if not hasattr(names, "isin") or not names.isin(adata.obs_names).any():
        return labels
    if len(names) != adata.n_obs or not names.is_unique or not adata.obs_names.isin(names).all():
        raise ValueError(
            f"labels have names, of which {names.isin(adata.obs_names).sum()} are among the"
            f" {adata.n_obs} cells' names; give one for each cell: labels.reindex(adata.obs_names)"
        )
    return labels.loc[adata.obs_names]


def label_words_of(source: CellSource, label_key: str) -> list[str | None]:
    """The label of each cell, from a column of obs or given beside it; None where missing."""
    if not is_given(label_key):
        return source.words(label_key, "label_key")
    return label_words(as_labels(find(label_key), len(source.cells), "labels"))
