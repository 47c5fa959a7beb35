"""Draws the figures of a multimodal run after its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixvae.callbacks.collecting import (
    AbstractLatentCallback,
    decoder_of,
    find_samples,
    logged_curves,
    samples_tested,
    spec_of,
)
from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.callbacks.pictures import NamedFigures, save_pictures
from mixvae.callbacks.settings import check_least
from mixvae.contracts import GenerativeModel, MultimodalSpec
from mixvae.evaluation.latent_mixture import LatentMixture
from mixvae.evaluation.latents import LatentTable
from mixvae.evaluation.representation import Decode
from mixvae.figures.coherence import accuracy_bars, coherence_heat_map
from mixvae.figures.curves import multimodal_learning_curves
from mixvae.figures.imputations import MAX_MODALITIES, generated, imputations
from mixvae.figures.latents import LatentCloud, latent_planes
from mixvae.spacing import spaced

MAX_SIZES = 4  # of subsets that samples are drawn from
BARS = {
    "probe_accuracy": "probe of its own latents",
    "shared_probe_accuracy": "one probe of all modalities' latents",
    "self_coherence": "classifier of samples, on its own {latents} decoded",
    "classifier_accuracy": "classifier of samples, on samples",
}


class MultimodalFigures(AbstractLatentCallback):
    """Draw `figures/*.png` at the end of a test, the learning curves from `metrics.csv`.

    Accuracies and coherence are drawn if this test measured them. Latents are gathered from all
    ranks; samples shown are those of the first rank.

    Args:
        events_per_class: Events shown of each class; three times as many of unlabelled data.
    """

    def __init__(self, dirpath: str, events_per_class: int = 4) -> None:
        super().__init__(dirpath)
        check_least("figures", 1, events_per_class=events_per_class)
        self.events_per_class = events_per_class

    def finish(self, trainer: Trainer, model: Any, table: LatentTable) -> None:
        """Draw everything."""
        save_pictures(trainer, self.dirpath, self._draw(trainer, model, table))

    def _draw(self, trainer: Trainer, model: Any, table: LatentTable) -> NamedFigures:
        spec = spec_of(trainer, MultimodalSpec)
        if curves := logged_curves(self.dirpath):
            yield "learning_curves", multimodal_learning_curves(curves)
        yield "latents", _draw_latents(table, spec)
        shown = _choose_events(table.label, self.events_per_class)
        # A model with private latents decodes here from the shared ones alone.
        latents = "shared latents" if model.private_dim else "latents"
        events = _Events.find(trainer, table, shown)
        yield "reconstructions", _draw_decoded(events, decoder_of(model), table, latents)
        if isinstance(model, GenerativeModel) and len(spec.modalities) > 1:
            mixture = LatentMixture.load(self.dirpath)
            yield "generated", _draw_generated(events, model, mixture)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        names = [modality.name for modality in spec.modalities]
        if "test/coherence" in metrics:
            yield "coherence_matrix", _draw_coherence(metrics, names, latents)
        if "test/probe_accuracy" in metrics:
            largest = [_largest_share(table.of_modality(m).label) for m in range(len(names))]
            tested = samples_tested(datamodule_of(trainer))
            bars = accuracy_bars(_accuracies(metrics, names, latents), names, largest, tested)
            yield "probe_accuracy", bars


def _draw_latents(table: LatentTable, spec: MultimodalSpec) -> Figure:
    clouds = []
    for m, modality in enumerate(spec.modalities):
        latents = table.of_modality(m)
        clouds.append(LatentCloud(modality.name, latents.mean, latents.label))
    joint = None
    if table.joint_mean is not None:
        joint = LatentCloud("joint posterior, by event", table.joint_mean, table.label)
    return latent_planes(clouds, spec.class_names, joint)


def _choose_events(label: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Choose events of each class, evenly spaced over the data, in the order of the classes."""
    chosen = []
    for k in np.unique(label):
        members = np.flatnonzero(label == k)
        chosen.append(members[spaced(len(members), count if k >= 0 else 3 * count)])
    return np.concatenate(chosen)


class _Events(NamedTuple):
    """Events that are shown, those of this rank.

    Attributes:
        places: Their places in the table of latents, shape (N,).
        samples: M arrays (N, *shape_m), NaN where missing.
        there: Modalities present, shape (N, M), bool.
        names: Names of the modalities; `kinds`: classes of the events.
    """

    places: NDArray[np.int64]
    samples: list[NDArray[np.float32]]
    there: NDArray[np.bool_]
    names: list[str]
    kinds: list[str]

    @classmethod
    def find(cls, trainer: Trainer, table: LatentTable, shown: NDArray[np.int64]) -> _Events:
        spec = spec_of(trainer, MultimodalSpec)
        found = find_samples(trainer, set(table.index[shown].tolist()))
        shown = np.array([n for n in shown if int(table.index[n]) in found], dtype=np.int64)
        there = table.rows[shown] >= 0
        names = [modality.name for modality in spec.modalities]
        samples = []
        for n in range(len(names)):
            real = np.stack([found[int(i)][n] for i in table.index[shown]])
            samples.append(_blanked(real, there[:, n]))
        named = dict(enumerate(spec.class_names))
        kinds = [named.get(int(k), "") for k in table.label[shown]]
        return cls(shown, samples, there, names, kinds)


def _draw_decoded(events: _Events, decode: Decode, table: LatentTable, latents: str) -> Figure:
    decoded = []
    for n in range(len(events.names)):
        across = [decode(latents_of, n) for latents_of in table.mean[:, events.places]]
        decoded.append([_blanked(one, events.there[:, m]) for m, one in enumerate(across)])
    return imputations(events.samples, decoded, events.names, events.kinds, latents)


def _draw_generated(events: _Events, model: Any, mixture: LatentMixture | None) -> Figure:
    """Draw from the posterior of more and more other modalities, and from the mixture."""
    count, decode = len(events.names), decoder_of(model)
    sizes = np.unique(np.linspace(1, count - 1, MAX_SIZES).round().astype(int)).tolist()
    columns = [f"from {size} other{'s' * (size > 1)}" for size in sizes]
    columns += ["from no event"] if mixture is not None else []
    x = [torch.from_numpy(part).to(model.device) for part in events.samples]
    # Outside of the trainer's precision nothing converts the samples.
    x = [part.to(model.dtype) if part.is_floating_point() else part for part in x]
    generator = torch.Generator(model.device).manual_seed(0)
    drawn: list[list[NDArray[np.float32]]] = []
    for n in range(min(count, MAX_MODALITIES)):
        drawn.append([])
        for size in sizes:
            given = np.zeros(count, dtype=bool)
            given[[(n + 1 + k) % count for k in range(size)]] = True
            here = events.there & given
            present = torch.from_numpy(here).to(model.device)
            with torch.inference_mode():
                z = model.draw(x, present, generator).float().cpu().numpy()
            drawn[n].append(_blanked(decode(z, n), np.asarray(here.any(axis=1))))
        if mixture is not None:
            z = mixture.draw(len(events.places), np.random.default_rng(0))
            drawn[n].append(np.asarray(decode(z, n), dtype=np.float32))
    return generated(events.samples, drawn, events.names, columns, events.kinds)


def _blanked(samples: NDArray[Any], there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Replace the samples of missing modalities by NaN."""
    shape = (-1, *[1] * (samples.ndim - 1))
    return np.where(there.reshape(shape), samples, np.float32("nan"))


def _draw_coherence(metrics: Mapping[str, float], names: Sequence[str], latents: str) -> Figure:
    matrix = np.full((len(names), len(names)), np.nan)
    for (m, source), (n, target) in product(enumerate(names), repeat=2):
        own, across = f"self_coherence/{source}", f"coherence/{source}_to_{target}"
        matrix[m, n] = metrics.get(f"test/{own if m == n else across}", np.nan)
    return coherence_heat_map(matrix, names, metrics["test/coherence"], latents)


def _accuracies(
    metrics: Mapping[str, float], names: Sequence[str], latents: str
) -> dict[str, list[float]]:
    series = {}
    for measure, text in BARS.items():
        values = [metrics.get(f"test/{measure}/{name}", np.nan) for name in names]
        if not np.isnan(values).all():
            series[text.format(latents=latents)] = values
    return series


def _largest_share(label: NDArray[np.int64]) -> float:
    """Share of the largest class among the labelled samples; NaN without any."""
    counts = np.bincount(label[label >= 0])
    return float(counts.max() / counts.sum()) if counts.size else float("nan")
