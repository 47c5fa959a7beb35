"""Measures what a model of several modalities generates, on held-out events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer

from mixvae.callbacks.collecting import decoder_of
from mixvae.callbacks.lightning_parts import place_of
from mixvae.callbacks.settings import check_least
from mixvae.contracts import GenerativeModel, MultimodalBatch
from mixvae.evaluation.generation import (
    Array,
    Drawn,
    Features,
    Subset,
    agreement,
    measure_frechet,
    measure_subsets,
    score_classes,
    some_subsets,
    targets_of,
)
from mixvae.evaluation.latent_mixture import fit_latent_mixture
from mixvae.evaluation.latents import LatentTable
from mixvae.evaluation.probe import Classifier
from mixvae.evaluation.representation import Decode, SplitInference
from mixvae.evaluation.tags import Scorer, score_tags
from mixvae.spacing import spaced

DECODED_VALUES = 2**23  # of a modality at once, for likelihoods


class Judging(NamedTuple):
    """What tells classes or tags of samples of each modality; empty without labels.

    Attributes:
        tags: Tags of each row of the data, (rows, T), with `scorers`; None where events have a
            class each, with `classifiers`.
    """

    classifiers: Sequence[Classifier | None] = ()
    scorers: Sequence[Scorer] = ()
    tags: Array | None = None


class Generation:
    """What is drawn, and how much of it is measured at a test, each on held-out events.

    Args:
        dirpath: Folder for `latent_mixture.npz`, from which `run.sample` draws.
        max_events: Largest number of events drawn from, spread over the split.
        max_subsets: Largest number of subsets of each size, of sizes, and of targets of a subset.
        likelihood_events: Largest number of events whose likelihood is estimated; 0: none.
        likelihood_draws: Draws of an estimate, even, at least 2.
        features: Features (N, F) of samples (N, *shape) of some modalities, by name, for the
            Fréchet distance: a PyTorch module, or a function of arrays. Those of others are of the
            coherence's classifiers.
    """

    def __init__(
        self,
        dirpath: str,
        max_events: int = 500,
        max_subsets: int = 5,
        likelihood_events: int = 200,
        likelihood_draws: int = 16,
        features: Mapping[str, Features] | None = None,
    ) -> None:
        check_least("evaluation.generation", 2, max_events=max_events)
        check_least("evaluation.generation", 1, max_subsets=max_subsets)
        check_least("evaluation.generation", 0, likelihood_events=likelihood_events)
        if likelihood_draws < 2 or likelihood_draws % 2:
            raise ValueError(
                "callbacks.evaluation.generation.likelihood_draws must be even and at least 2, got"
                f" {likelihood_draws}"
            )
        self.dirpath = Path(dirpath)
        self.max_events, self.max_subsets = max_events, max_subsets
        self.likelihood_events, self.likelihood_draws = likelihood_events, likelihood_draws
        self.features = dict(features or {})

    def check(self, names: Sequence[str]) -> None:
        """Raise ValueError for features of a modality that the data have not."""
        for name in self.features:
            if name not in names:
                raise ValueError(
                    f"callbacks.evaluation.generation.features.{name}: the data have no modality"
                    f" {name}; they have {', '.join(names)}"
                )

    def measure(
        self,
        trainer: Trainer,
        model: LightningModule,
        splits: tuple[SplitInference, SplitInference],
        names: Sequence[str],
        judging: Judging,
    ) -> dict[str, float]:
        """Measure a model on the tested split; `splits` are the inferences of training and test."""
        train, test = splits
        decode = decoder_of(model)
        mixture = fit_latent_mixture(_pooled(train.latents))
        if trainer.is_global_zero:
            mixture.save(self.dirpath)
        drawn = self._drawn(_held_out(test, model, self.max_events), model)
        values = self._likelihoods(_held_out(test, model, self.likelihood_events), model)
        values |= self._subsets(drawn, decode, judging)
        unconditional = mixture.draw(len(drawn.label), np.random.default_rng(0))
        sampled = [decode(unconditional, n) for n in range(len(names))]
        if all(judging.classifiers) and len(judging.classifiers) > 1:
            told = [c(x) for c, x in zip(judging.classifiers, sampled, strict=True) if c]
            values["unconditional_coherence"] = agreement(told)
        alone = {s: z[drawn.there[:, s[0]]] for s, z in drawn.latents.items() if len(s) == 1}
        count = range(len(names))
        generated = {
            "frechet": [[samples] for samples in sampled],
            "frechet_conditional": [
                [decode(z, n) for (m,), z in alone.items() if m != n and len(z)] for n in count
            ],
            "frechet_training": [[samples.x] for samples in train.samples],
        }
        real = [one.x[spaced(len(one.x), self.max_events)] for one in test.samples]
        features = [self._features(n, name, judging) for n, name in enumerate(names)]
        return values | measure_frechet(features, names, real, generated)

    def _features(self, n: int, name: str, judging: Judging) -> Features | None:
        judges = judging.classifiers or judging.scorers
        given = self.features.get(name)
        if isinstance(given, torch.nn.Module):
            return _of_arrays(given)
        return given or (getattr(judges[n], "features", None) if judges else None)

    def _subsets(self, drawn: Drawn, decode: Decode, judging: Judging) -> dict[str, float]:
        if judging.tags is not None:
            score = score_tags(drawn, judging.scorers, judging.tags)
        elif judging.classifiers:
            score = score_classes(drawn, judging.classifiers)
        else:
            return {}
        return measure_subsets(drawn, decode, score, self.max_subsets)

    def _drawn(self, events: MultimodalBatch, model: Any) -> Drawn:
        device, num_modalities = model.device, len(events.x)
        assert isinstance(model, GenerativeModel)
        subsets = some_subsets(num_modalities, self.max_subsets)
        known: list[tuple[Array, ...]] = []
        latents: dict[Subset, list[Array]] = {subset: [] for subset in subsets}
        generator = torch.Generator(device).manual_seed(0)
        with torch.inference_mode():
            for batch in _parts(events):
                for subset in subsets:
                    given = _given(subset, batch)
                    z = model.draw(batch.x, batch.present & given, generator)
                    latents[subset].append(z.float().cpu().numpy())
                known.append(
                    tuple(t.cpu().numpy() for t in (batch.label, batch.rows, batch.present))
                )
        label, rows, there = (np.concatenate(column) for column in zip(*known, strict=True))
        joined = {subset: np.concatenate(parts) for subset, parts in latents.items()}
        return Drawn(label, rows, there, joined)

    def _likelihoods(self, events: MultimodalBatch, model: Any) -> dict[str, float]:
        """Bounds on log p(X), and on log p(x_n|x_S) by the size of S, means over events, nats."""
        device, num_modalities = model.device, len(events.x)
        assert isinstance(model, GenerativeModel)
        if not model.has_likelihood or self.likelihood_events == 0:
            return {}
        draws, found = self.likelihood_draws, dict[str, list[Array]]()
        generator = torch.Generator(device).manual_seed(0)
        with torch.inference_mode():
            for batch in _parts(events, draws):
                joint = model.joint_log_likelihood(batch, draws, generator)
                found.setdefault("joint_log_likelihood", []).append(joint.cpu().numpy())
                for subset in some_subsets(num_modalities, self.max_subsets):
                    given = _given(subset, batch)
                    (n,) = targets_of(subset, num_modalities, 1)
                    usable = batch.present[:, given].all(dim=1) & batch.present[:, n]
                    value = model.conditional_log_likelihood(batch, given, n, draws, generator)
                    key = f"conditional_log_likelihood/{len(subset)}"
                    found.setdefault(key, []).append(value[usable].cpu().numpy())
        values = {name: np.concatenate(parts) for name, parts in found.items()}
        return {name: float(each.mean()) for name, each in values.items() if len(each)}


def _held_out(test: SplitInference, model: LightningModule, max_events: int) -> MultimodalBatch:
    """Events spread over the tested split, the same in every process: it was gathered from all."""
    table = test.latents
    places, known = [], np.ones(len(table.rows), dtype=bool)
    for m, samples in enumerate(test.samples):
        rows = table.rows[:, m]
        place = np.searchsorted(samples.row, rows).clip(max=max(len(samples.row) - 1, 0))
        there = samples.row[place] == rows if len(samples.row) else np.zeros(len(rows), dtype=bool)
        known &= there | (rows < 0)  # of very many samples not all were kept
        places.append(place)
    whole = np.flatnonzero(known)
    chosen = whole[spaced(len(whole), max_events)]
    present = table.rows[chosen] >= 0
    x = []
    for m, samples in enumerate(test.samples):
        values = np.zeros((len(chosen), *samples.x.shape[1:]), dtype=np.float32)
        values[present[:, m]] = samples.x[places[m][chosen][present[:, m]]]
        x.append(torch.from_numpy(values).to(*place_of(model)))
    rest = (present, table.label[chosen], table.index[chosen], table.rows[chosen])
    return MultimodalBatch(tuple(x), *(torch.from_numpy(part).to(model.device) for part in rest))


def _parts(events: MultimodalBatch, draws: int = 1) -> Iterator[MultimodalBatch]:
    """Few enough events at once that their draws fit into memory."""
    step = max(1, DECODED_VALUES // (draws * max(x[0].numel() for x in events.x)))
    for start in range(0, len(events.present), step):
        part = slice(start, start + step)
        rest = (field[part] for field in events[1:])
        yield MultimodalBatch(tuple(x[part] for x in events.x), *rest)


def _given(subset: Subset, batch: MultimodalBatch) -> torch.Tensor:
    given = torch.zeros(batch.present.shape[1], dtype=torch.bool)
    given[list(subset)] = True
    return given.to(batch.present.device)


def _pooled(latents: LatentTable) -> Array:
    """Means of the joint posterior, or else of those of all modalities, (N, L)."""
    if latents.joint_mean is not None:
        return latents.joint_mean
    count = latents.mean.shape[0]
    return np.concatenate([latents.of_modality(m).mean for m in range(count)])


def _of_arrays(network: torch.nn.Module) -> Features:
    """A network as a function of arrays, on the CPU in evaluation mode."""
    network = network.cpu().eval()

    @torch.inference_mode()
    def extract(samples: Array) -> Array:
        x = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
        parts = [network(part).flatten(1) for part in x.split(256)]
        found: Array = torch.cat(parts).numpy()
        return found

    return extract
