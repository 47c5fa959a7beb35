"""CITE-seq: counts of genes and levels of surface proteins of the same cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.modalities.alignment import Aligned, read_aligned
from mixvae.data.modalities.event_labels import EventLabels, read_event_labels
from mixvae.data.modalities.multimodal_arrays import AbstractArraysDataModule

NUM_CELLS, NUM_GENES, NUM_PROTEINS, NUM_TYPES = 2000, 200, 10, 6
MEDIAN_LIBRARY = 1500


class CiteDataModule(AbstractArraysDataModule):
    """Two modalities of cells: `rna`, raw counts, and `protein`, real values such as CLR.

    Args:
        path: An `.h5ad`, `.zarr` or `.h5mu` file; None simulates 2,000 cells of six types.
        rna: Key of the counts, such as `X`, `layers/counts`, or `rna/X` of MuData.
        protein: Key of the proteins, such as `obsm/protein`, or `prot/X`.
        label: Key of the cell types, for evaluation; None: none.
    """

    name = "cite"

    def __init__(
        self,
        *,
        path: str | None = None,
        rna: str = "X",
        protein: str = "obsm/protein",
        label: str | None = "obs/type",
        standardise: Any = ("protein",),
        **shared: Any,
    ) -> None:
        source = "simulated cells" if path is None else path
        kinds = {"rna": "counts", "protein": "vector"} | (shared.pop("kinds", None) or {})
        super().__init__(
            {"rna": f"{source}:{rna}", "protein": f"{source}:{protein}"},
            standardise=list(standardise) if isinstance(standardise, tuple) else standardise,
            kinds=kinds,
            **shared,
        )
        self.path, self.rna, self.protein, self.label = path, rna, protein, label
        if path is not None and not Path(path).expanduser().exists():
            raise FileNotFoundError(
                f"there is no file {path}, which data.path names; leave it out to simulate cells"
            )
        self._types = np.empty(0, dtype=str)

    def read_arrays(self) -> Aligned:
        """Read the file, or simulate cells."""
        if self.path is not None:
            return read_aligned(self.files)
        rna, protein, self._types = simulate_cite(seed=0)
        return Aligned({"rna": rna, "protein": protein})

    def read_labels(self, num_events: int, ids: tuple[str, ...] | None) -> EventLabels:
        """Read the types of the cells."""
        if self.path is None:
            names = tuple(sorted(set(self._types.tolist())))
            label = np.searchsorted(names, self._types)
            return EventLabels(label.astype(np.int64), names, EventLabels.none(num_events).tags)
        if self.label is None:
            return EventLabels.none(num_events)
        run_names = None if self.run_state is None else self.run_state.classes or None
        file = f"{self.path}:{self.label}"
        return read_event_labels(file, num_events, ids, None, None, run_names)


def simulate_cite(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate cells of types with a continuous state each, seen by genes and by proteins.

    Returns:
        Counts (cells, genes), float32; proteins (cells, proteins), centred log-ratios of counts,
        float32; types, texts, shape (cells,).

    Source:
        Ours: log-normal expression, Poisson counts given a log-normal library.
    """
    random = np.random.default_rng(seed)
    kind = random.integers(0, NUM_TYPES, NUM_CELLS)
    state = random.standard_normal((NUM_CELLS, 2))
    counts = {}
    for name, size, depth in (("rna", NUM_GENES, MEDIAN_LIBRARY), ("protein", NUM_PROTEINS, 800)):
        base = random.normal(0, 1, size)
        markers = random.normal(0, 1, (NUM_TYPES, size)) * (random.random((NUM_TYPES, size)) < 0.3)
        loadings = random.normal(0, 0.3, (2, size))
        log_rate = base + 1.5 * markers[kind] + state @ loadings
        share = np.exp(log_rate) / np.exp(log_rate).sum(axis=1, keepdims=True)
        library = depth * np.exp(random.normal(0, 0.3, (NUM_CELLS, 1)))
        counts[name] = random.poisson(share * library).astype(np.float32)
    logs = np.log1p(counts["protein"])
    types = np.array([f"type {k}" for k in range(NUM_TYPES)])[kind]
    return counts["rna"], logs - logs.mean(axis=1, keepdims=True), types
