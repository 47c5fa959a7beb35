"""Draws cells after a test: the plane by category, label and batch, markers, composition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from mixvae.callbacks.collecting import AbstractPredictionCallback, find_samples, spec_of
from mixvae.callbacks.pictures import NamedFigures, save_pictures
from mixvae.callbacks.settings import check_least
from mixvae.contracts import DataSpec
from mixvae.evaluation.markers import Markers, find_markers
from mixvae.evaluation.predictions import PredictionTable
from mixvae.figures import cells as figures
from mixvae.figures.plane import find_plane
from mixvae.files import write_table

Embedding = Literal["pca", "umap"]
NUM_COMPONENTS = 30  # of the samples, that UMAP sees


class CellFigures(AbstractPredictionCallback):
    """Draw `figures/embedding.png`, `markers.png`, `composition_<what>.png`; write `markers.csv`.

    Cells are coloured by the category voted for, by label and by batch where there are any.

    Args:
        embedding: `pca`, the first two principal components of the cells, or `umap` of the first
            30, which needs umap-learn (scanpy brings it) and takes longer.
        num_markers: Markers drawn of each category; `markers.csv` has 20.
        max_cells: Cells at most, evenly spaced over the test cells.
    """

    def __init__(
        self,
        dirpath: str,
        embedding: Embedding = "pca",
        num_markers: int = 3,
        max_cells: int = 3000,
    ) -> None:
        super().__init__(dirpath)
        check_least("cell_figures", 1, num_markers=num_markers)
        check_least("cell_figures", 10, max_cells=max_cells)
        if embedding not in get_args(Embedding):
            raise ValueError(
                f"callbacks.cell_figures.embedding is {embedding!r}; it must be pca or umap"
            )
        self.embedding: Embedding = embedding
        self.num_markers, self.max_cells = num_markers, max_cells

    def finish(self, trainer: Trainer, model: Any, table: PredictionTable) -> None:
        """Draw and write."""
        genes = spec_of(trainer, DataSpec).feature_names
        every = max(1, -(-len(table.index) // self.max_cells))
        found = find_samples(trainer, set(table.index[::every].tolist()))
        rows = np.flatnonzero(np.isin(table.index, list(found)))
        if not genes or len(rows) < 3:
            return
        x = np.stack([found[index][0].ravel() for index in table.index[rows].tolist()])
        save_pictures(trainer, self.dirpath, self._draw(trainer, table, rows, x))

    def _draw(
        self, trainer: Trainer, table: PredictionTable, rows: NDArray[np.int64], x: NDArray[Any]
    ) -> NamedFigures:
        spec = spec_of(trainer, DataSpec)
        category = table.consensus[rows]
        groupings = {"category": category.astype(str).tolist(), **_described(trainer, table, rows)}
        points, axis = _place(x, self.embedding)
        yield "embedding", figures.embedding(points, groupings, axis)
        used = np.unique(category)
        found = find_markers(x, category, used)
        self._write(found, used, spec.feature_names)
        yield "markers", self._dots(found, used, spec.feature_names)
        for name, words in groupings.items():
            if name != "category":
                groups, place = np.unique(words, return_inverse=True)
                counts = np.zeros((len(used), len(groups)), dtype=np.int64)
                np.add.at(counts, (np.searchsorted(used, category), place), 1)
                picture = figures.composition(counts, _texts(used), groups.tolist(), name)
                yield f"composition_{name}", picture

    def _dots(self, found: Markers, used: NDArray[np.int64], genes: Sequence[str]) -> Any:
        """The first markers of each category, those of the first category first."""
        count = max(1, min(self.num_markers, 80 // len(used)))
        chosen = np.array(list(dict.fromkeys(found.order[:, :count].ravel().tolist())))
        mean = found.mean[:, chosen]
        span = np.maximum(np.ptp(mean, axis=0), 1e-12)
        scaled = (mean - mean.min(axis=0)) / span
        names = [genes[gene] for gene in chosen]
        return figures.markers(scaled, found.share[:, chosen], _texts(used), names)

    def _write(self, found: Markers, used: NDArray[np.int64], genes: Sequence[str]) -> None:
        rows = [
            [k, rank + 1, genes[g], *(f"{part[j, g]:.6g}" for part in found[1:])]
            for j, k in enumerate(used.tolist())
            for rank, g in enumerate(found.order[j, :20].tolist())
        ]
        header = ["category", "rank", "gene", "score", "mean", "share"]
        write_table(self.dirpath / "markers.csv", header, rows)


def _described(
    trainer: Trainer, table: PredictionTable, rows: NDArray[np.int64]
) -> dict[str, list[str]]:
    """Words of label and batch of cells, where there are any."""
    names = spec_of(trainer, DataSpec).class_names
    label = table.label[rows]
    found = {}
    if names and (label >= 0).any():
        found["label"] = ["unlabelled" if k < 0 else names[k] for k in label.tolist()]
    batches = getattr(getattr(trainer, "datamodule", None), "batch_labels", None)
    if batches is not None:
        found["batch"] = [str(batches[index]) for index in table.index[rows].tolist()]
    return found


def _place(x: NDArray[Any], how: Embedding) -> tuple[NDArray[Any], str]:
    """Two coordinates of cells, shape (N, 2), and their name."""
    if how == "pca":
        return find_plane(x, "expression").points[:, :2], "principal component"
    try:
        from umap import UMAP  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            "callbacks.cell_figures.embedding=umap needs umap-learn: pip install umap-learn"
        ) from error
    from sklearn.decomposition import PCA

    count = min(NUM_COMPONENTS, *x.shape)
    components = PCA(count, random_state=0).fit_transform(x)
    return UMAP(random_state=0, n_jobs=1).fit_transform(components), "UMAP"


def _texts(numbers: NDArray[np.int64]) -> list[str]:
    return [str(number) for number in numbers.tolist()]
