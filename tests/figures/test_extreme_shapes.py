"""Each figure draws without a warning at the extreme shapes, or refuses what it cannot draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from mixvae.evaluation.model_order import Round
from mixvae.figures.cells import composition, embedding, markers
from mixvae.figures.coherence import accuracy_bars, coherence_heat_map
from mixvae.figures.copies import copy_plane, image_copies
from mixvae.figures.curves import (
    augmenter_learning_curves,
    learning_curves,
    multimodal_learning_curves,
)
from mixvae.figures.genes import state_genes
from mixvae.figures.imputations import imputations
from mixvae.figures.latents import MAX_POINTS, LatentCloud, latent_planes
from mixvae.figures.model_order import model_order
from mixvae.figures.samples import category_samples, reconstructions, traversal
from mixvae.figures.scatter import state_scatter
from mixvae.figures.tables import (
    category_label_table,
    consensus_matrix,
    risk_coverage,
    samples_per_category,
)

RNG = np.random.default_rng(0)


def cloud(size: int, dims: int = 2, classes: int = 3, name: str = "a") -> LatentCloud:
    return LatentCloud(name, RNG.normal(size=(size, dims)), np.arange(size) % classes)


def missing(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan)


def imputed(*samples: np.ndarray, events: int = 2) -> Figure:
    names = [f"modality_{m}" for m in range(len(samples))]
    return imputations(
        samples, [[part for _ in samples] for part in samples], names, ["x"] * events
    )


FIGURES: dict[str, Callable[[], Figure]] = {
    "coherence of 1": lambda: coherence_heat_map(np.ones((1, 1)), ["a"], 1.0),
    "coherence of 50": lambda: coherence_heat_map(missing(50, 50), ["m"] * 50, 0.5),
    "bars of 1": lambda: accuracy_bars({"probe": [np.nan]}, ["a" * 60], [0.2], "samples"),
    "bars of 30": lambda: accuracy_bars(
        {"probe": [0.5] * 30, "classifier": [0.1] * 30}, ["name_of_one"] * 30, [0.2] * 30, "samples"
    ),
    "copies of one image": lambda: image_copies(np.zeros((1, 2, 4, 6)), np.ones((1, 1, 2, 4, 6))),
    "copies in colour": lambda: image_copies(RNG.random((9, 3, 4, 6)), RNG.random((5, 9, 3, 4, 6))),
    "plane of copies": lambda: copy_plane(RNG.normal(size=(3, 2)), RNG.normal(size=(1, 3, 2))),
    "one epoch": lambda: learning_curves({"val/kl": ([4], [1.5]), "train/kl": ([3, 4], [2, 1])}, 2),
    "an unknown term": lambda: learning_curves({"train/coupling": ([1], [-1e9])}, 2),
    "curves of an augmenter": lambda: augmenter_learning_curves({"val/shift_ratio": ([1], [0.5])}),
    "genes of one category": lambda: state_genes(RNG.normal(size=(1, 3)), [0], list("abc")),
    "genes that do not change": lambda: state_genes(np.zeros((2, 5)), [0, 1], list("abcde")),
    "genes of 120": lambda: state_genes(RNG.normal(size=(120, 500)), range(120), ["g"] * 500),
    "imputed vectors": lambda: imputed(missing(2, 3), RNG.normal(size=(2, 900))),
    "imputed images": lambda: imputed(RNG.random((2, 1, 4, 5)), missing(2, 3, 1, 1)),
    "imputed of nine": lambda: imputed(*[RNG.normal(size=(90, 3))] * 9, events=90),
    "latents of one point": lambda: latent_planes([cloud(1)], []),
    "latents in one dimension": lambda: latent_planes([cloud(2 * MAX_POINTS, 1)], ["x", "y", "z"]),
    "latents of 60 classes": lambda: latent_planes([cloud(400, 5, 60, "a" * 60)] * 9, []),
    "one round": lambda: model_order([Round(0, 9, 2, 1.0, 1.0, 1, 4.0, 0.0)], 2, 0.95),
    "reconstructed vectors": lambda: reconstructions(
        RNG.random((1, 30)), RNG.random((9, 1, 30)), [0], None
    ),
    "traversed vectors": lambda: traversal(RNG.random((40, 2, 3)), np.zeros(2), range(40), 0, None),
    "images of one value": lambda: category_samples([np.ones((2, 1, 4, 4))], [0], None),
    "vectors of an empty category": lambda: category_samples(
        [RNG.random((2, 30)), np.empty((0, 30))], [5, 6], None
    ),
    "one state": lambda: state_scatter(RNG.normal(size=(10, 1)), np.zeros(10, dtype=int), 2),
    "equal states": lambda: state_scatter(np.ones((15_001, 4)), np.zeros(15_001, dtype=int), 99),
    "consensus of 1": lambda: consensus_matrix(np.ones((1, 1)), [7]),
    "consensus of 120": lambda: consensus_matrix(RNG.random((120, 120))),
    "cells of one category": lambda: embedding(np.zeros((3, 2)), {"category": ["0"] * 3}, "UMAP"),
    "cells of 99 long names": lambda: embedding(
        RNG.normal(size=(5000, 2)), {n: [f"{n}{i % 99}" for i in range(5000)] for n in "ab"}, "x"
    ),
    "cells of 30 long names": lambda: embedding(
        RNG.normal(size=(90, 2)), {"label": [f"{'a' * 60}{i % 30}" for i in range(90)]}, "x"
    ),
    "one marker": lambda: markers(np.ones((1, 1)), np.zeros((1, 1)), ["0"], ["g"]),
    "markers of 120": lambda: markers(
        RNG.random((120, 80)), RNG.random((120, 80)), ["9"] * 120, ["a long name"] * 80
    ),
    "composition of none": lambda: composition(np.zeros((2, 1), dtype=int), "01", ["b"], "batch"),
    "composition of 120": lambda: composition(
        RNG.integers(0, 9, (120, 50)), ["9"] * 120, ["b"] * 50, "batch"
    ),
    "named vectors": lambda: reconstructions(
        RNG.random((1, 30)), RNG.random((9, 1, 30)), [0], None, ["ENSG00000000001"] * 30
    ),
    "below the threshold": lambda: model_order(
        [Round(0, 9, 2, 0.1, 0.0, 1, 4.0, 0.0)], 2, 0.95, False
    ),
    "labels of none": lambda: category_label_table(np.zeros((1, 1), dtype=int), [0], ["x"], 0.0),
    "labels of 115": lambda: category_label_table(
        np.ones((92, 115), dtype=int), range(92), ["x"] * 115, 0.5
    ),
    "coverage of one sample": lambda: risk_coverage(np.ones(1)),
    "coverage of 90,000 samples": lambda: risk_coverage(np.linspace(1, 0.3, 90_000)),
    "bars of 11 voters": lambda: samples_per_category(RNG.integers(0, 9, (11, 120))),
    "bars of no sample": lambda: samples_per_category(np.zeros((2, 1), dtype=int), [3]),
}


SECONDS = ("latents of 60 classes",)


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(draw, id=name, marks=[pytest.mark.slow] if name in SECONDS else [])
        for name, draw in FIGURES.items()
    ],
)
def test_draws_without_a_warning(draw: Callable[[], Figure]) -> None:
    draw().draw_without_rendering()


REFUSED: dict[str, tuple[Callable[[], Figure], str]] = {
    "no curve": (lambda: learning_curves({"test/nmi": ([1], [0.5])}, 10), r"\['test/nmi'\]"),
    "no curve of modalities": (
        lambda: multimodal_learning_curves({"test/loss": ([3], [1.0])}),
        r"\['test/loss'\]",
    ),
    "no category": (lambda: state_genes(np.zeros((0, 5)), [], list("abcde")), "no category"),
    "no round": (lambda: model_order([], selected=1, threshold=0.95), "no round"),
    "no state": (
        lambda: state_scatter(np.empty((10, 0)), np.zeros(10, dtype=int), 2),
        "state_dim 0",
    ),
}


@pytest.mark.parametrize(("draw", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_nothing_to_draw_is_refused(draw: Callable[[], Figure], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
