"""Measures a multimodal model: its terms at each validation, probes and coherence at the test."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from mixvae.callbacks.collecting import decoder_of, spec_of, tested_split
from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.callbacks.measuring import AbstractMeasuring, log_values, ordered_batches
from mixvae.callbacks.multimodal_generation import Generation, Judging
from mixvae.callbacks.settings import check_least
from mixvae.contracts import (
    GenerativeModel,
    MultimodalBatch,
    MultimodalModel,
    MultimodalSpec,
    MultimodalStep,
)
from mixvae.evaluation.latents import LatentCollector, SampleCollector
from mixvae.evaluation.multimodal_health import MultimodalEvaluation as MultimodalMetric
from mixvae.evaluation.probe import Classifier, Labelled, fit_logistic, fit_mlp
from mixvae.evaluation.representation import (
    SplitInference,
    fit_judges,
    measure_coherence,
    measure_private,
    measure_probes,
)
from mixvae.evaluation.tags import (
    Array,
    Scorer,
    fit_logistic_tags,
    fit_tag_judges,
    measure_tags,
)
from mixvae.evaluation.trunk_classifier import fit_trunk, fit_trunk_tags
from mixvae.messages import inform, warn

CLASSIFIERS = ("auto", "logistic", "mlp")
OF_TRUNKS = ("image", "tokens")


class MultimodalEvaluation(AbstractMeasuring[MultimodalMetric]):
    """Log `val/...` and `test/...` of a `contracts.MultimodalModel`, labels for measuring only.

    Reconstruction, imputation and the regulariser are measured at each validation and test. Probes
    and coherence are measured once, at the test, with the weights that are tested: the classifiers
    are fitted on the training split and tried on the validation split, by whose values a setting
    may be chosen, and on the test split. Without labels they are skipped. Measures of a pair of
    modalities are logged for the test split only.

    Where the data know what a modality has for itself, as simulated rats do, a linear probe of it
    is measured too, see `evaluation.private_part`.

    `generation` draws from subsets of modalities and from a mixture of training latents, see
    `Generation`.

    Where events have tags, several labels beside each other, probes and coherence are the average
    precision and the area under the ROC curve of held-out scores.

    Args:
        classifier: Classifier of real samples behind the coherence: `auto`, convolutional for
            images and texts and logistic for others; `logistic`; or `mlp` where classes are no
            linear function of a sample.
        classifier_c: Inverse strength of the penalty of `logistic`, above 0. Weak penalties fit
            many features to the noise of few samples.
        max_samples: Largest number of samples of a modality that a classifier is fitted on or
            tried on, by process.
        generation: What is measured of samples that the model generates; None: nothing.
    """

    model_kind = MultimodalModel

    def __init__(
        self,
        classifier: Literal["auto", "logistic", "mlp"] = "auto",
        classifier_c: float = 0.003,
        max_samples: int = 20_000,
        generation: Generation | None = None,
    ) -> None:
        if classifier not in CLASSIFIERS:
            raise ValueError(f"classifier is {classifier!r}; use one of {', '.join(CLASSIFIERS)}")
        if not classifier_c > 0:
            raise ValueError(f"classifier_c must be above 0; got {classifier_c}")
        check_least("evaluation", 1, max_samples=max_samples)
        self.classifier, self.classifier_c = classifier, classifier_c
        self.max_samples, self.generation = max_samples, generation

    def new_metric(self, trainer: Trainer, model: Any) -> MultimodalMetric:
        """Return an empty metric of the data's modalities."""
        assert isinstance(model, MultimodalModel)
        if self.generation is not None:
            self.generation.check(_names(trainer))
        return MultimodalMetric(_names(trainer))

    def update(self, step: Any, batch: MultimodalBatch) -> None:
        """Add a batch."""
        assert isinstance(step, MultimodalStep), "the step must return a MultimodalStep"
        self.metric.update(step, batch.present)

    def conclude(self, trainer: Trainer, model: LightningModule, split: str) -> None:
        """Log the measures; at a test, fit and log probes and coherence."""
        _log(model, split, self.metric.compute())
        if split == "val":
            return
        num_classes = spec_of(trainer, MultimodalSpec).num_classes
        unlabelled = num_classes < 2 and _tags(trainer) is None
        if unlabelled:
            held = "one class" if num_classes else "no labels"
            inform(f"{held}: probe accuracy and coherence are not measured")
        generation = self.generation if isinstance(model, GenerativeModel) else None
        if unlabelled and generation is None:
            return
        parts = {"val": "val", "test": tested_split(datamodule_of(trainer))}
        train = self._infer(trainer, model, "train")
        splits = {name: self._infer(trainer, model, part) for name, part in parts.items()}
        judging = Judging()
        if not unlabelled:
            try:
                judging, measured = self._measure(trainer, model, train, splits)
            except ValueError as error:
                warn(f"probe accuracy and coherence are not measured: {error}")
            else:
                for name, values in measured.items():
                    _log(model, name, values)
        if generation is not None:
            inferred, names = (train, splits["test"]), _names(trainer)
            try:
                _log(model, "test", generation.measure(trainer, model, inferred, names, judging))
            except ValueError as error:
                warn(f"generated samples are not measured: {error}")

    def _measure(
        self,
        trainer: Trainer,
        model: LightningModule,
        train: SplitInference,
        splits: Mapping[str, SplitInference],
    ) -> tuple[Judging, dict[str, dict[str, float]]]:
        """Fit the classifiers on the training split, and measure the others by name."""
        spec, names, decode = spec_of(trainer, MultimodalSpec), _names(trainer), decoder_of(model)
        fit = SampleFits(self, [modality.kind for modality in spec.modalities], model.device)
        tags = _tags(trainer)
        if tags is not None:
            scorers = fit_tag_judges(train, tags, fit.tags)
            return Judging(scorers=scorers.classifiers, tags=tags), {
                name: measure_tags(scorers, split, tags, names, decode)
                for name, split in splits.items()
            }
        judges = fit_judges(train, [partial(fit.classes, m) for m in range(len(names))])
        private_part: Any = getattr(datamodule_of(trainer), "private_part", lambda _: {})
        truth = [private_part(m) for m in range(len(names))]
        return Judging(judges.classifiers), {
            name: measure_probes(judges, split.latents, names)
            | measure_coherence(judges, split, names, decode)
            | measure_private(train.latents, split.latents, truth, names)
            for name, split in splits.items()
        }

    def _infer(self, trainer: Trainer, model: LightningModule, split: str) -> SplitInference:
        """Infer a whole split, in order and without sampling, over all ranks."""
        assert isinstance(model, MultimodalModel)
        assert not model.training, "dropout and batch statistics would blur what is measured"
        latents = LatentCollector().to(model.device)
        samples = SampleCollector(model.num_modalities, self.max_samples).to(model.device)
        with torch.inference_mode():
            for batch in ordered_batches(trainer, split):
                latents.update(model.infer(batch.x, batch.present), batch)
                samples.update(batch)
        return SplitInference(latents.compute(), samples.compute())


class SampleFits(NamedTuple):
    """Fits classifiers of the samples of each modality, by its kind."""

    settings: MultimodalEvaluation
    kinds: list[str]
    device: torch.device

    def classes(self, modality: int, data: Labelled) -> Classifier:
        """Fit a classifier of one class for each sample."""
        kind = self.kinds[modality]
        if self.settings.classifier == "mlp":
            return fit_mlp(data)
        if self.settings.classifier == "auto" and kind in OF_TRUNKS:
            return fit_trunk(kind, data, self.device)
        return fit_logistic(data, self.settings.classifier_c)

    def tags(self, modality: int, x: Array, tags: Array) -> Scorer:
        """Fit a scorer of tags."""
        kind = self.kinds[modality]
        if self.settings.classifier != "logistic" and kind in OF_TRUNKS:
            return fit_trunk_tags(kind, x, tags, self.device)
        return fit_logistic_tags(x, tags, self.settings.classifier_c)


def _tags(trainer: Trainer) -> Array | None:
    """Tags of each row of the data, shape (rows, T); None where an event has one class or none."""
    tags: Array | None = getattr(datamodule_of(trainer), "tags", None)
    return tags if tags is not None and tags.shape[1] else None


def _names(trainer: Trainer) -> list[str]:
    return [modality.name for modality in spec_of(trainer, MultimodalSpec).modalities]


def _log(model: LightningModule, split: str, values: Mapping[str, Tensor | float]) -> None:
    """Log measures; those of pairs of modalities are many, and only of the test split."""
    of_pairs = ("imputation/", "coherence/", "coherence_ap/", "coherence_auroc/")
    pairs = () if split == "test" else of_pairs
    kept = {name: value for name, value in values.items() if not name.startswith(pairs)}
    log_values(model, split, kept)
