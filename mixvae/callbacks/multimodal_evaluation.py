"""Measures a multimodal model: each epoch what it explains, at the end what its latents tell."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mixvae.callbacks.collecting import tested_split
from mixvae.callbacks.lightning_parts import datamodule_of
from mixvae.callbacks.multimodal_inference import decoder_of, infer_split, multimodal_spec
from mixvae.contracts import MultimodalBatch, MultimodalModel, MultimodalStep
from mixvae.evaluation.multimodal import MultimodalEvaluation as MultimodalMetric
from mixvae.evaluation.probe import Classifier, Labelled, fit_logistic, fit_mlp
from mixvae.evaluation.representation import fit_judges, measure_coherence, measure_probes
from mixvae.messages import inform, warn

CLASSIFIERS = ("logistic", "mlp")


class MultimodalEvaluation(Callback):
    """Log `val/...` and `test/...` of a `contracts.MultimodalModel`, labels for measuring only.

    Reconstruction, imputation and the regulariser are measured at each validation and test. Probes
    and coherence are measured once, at the test, with the weights that are tested: the classifiers
    are fitted on the training split then, and tried on the validation split, by whose values a
    setting may be chosen, and on the test split. Without labels they are skipped. What belongs to
    a pair of modalities is logged of the test split only.

    Args:
        classifier: Classifier of real samples behind the coherence: `logistic`, or `mlp` where
            classes are no linear function of a sample.
        classifier_c: Inverse strength of the penalty of `logistic`, above 0. Weak penalties fit
            many features to the noise of few samples.
        max_samples: Largest number of samples of a modality that a classifier is fitted on or
            tried on, by process.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        classifier: Literal["logistic", "mlp"] = "logistic",
        classifier_c: float = 0.003,
        max_samples: int = 20_000,
    ) -> None:
        if classifier not in CLASSIFIERS:
            raise ValueError(f"classifier is {classifier!r}; use one of {', '.join(CLASSIFIERS)}")
        if not classifier_c > 0:
            raise ValueError(f"classifier_c must be above 0; got {classifier_c}")
        if max_samples < 1:
            raise ValueError(f"max_samples must be 1 or more; got {max_samples}")
        self.classifier = classifier
        self.classifier_c = classifier_c
        self.max_samples = max_samples
        self._metric: MultimodalMetric | None = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a fresh accumulation."""
        self._start(trainer, pl_module)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a fresh accumulation."""
        self._start(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: MultimodalBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        self._update(outputs, batch)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: MultimodalBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch."""
        self._update(outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the measures."""
        if not trainer.sanity_checking:
            self._log("val", pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the measures, then fit and log probes and coherence."""
        self._log("test", pl_module)
        if multimodal_spec(trainer).num_classes == 0:
            inform("no labels: probe accuracy and coherence are not measured")
            return
        try:
            values = self._measure(trainer, pl_module)
        except ValueError as error:
            warn(f"probe accuracy and coherence are not measured: {error}")
            return
        # The values are equal on all ranks already; sync_dist tells Lightning so.
        device = pl_module.device
        pl_module.log_dict(
            {
                name: torch.tensor(value, dtype=torch.float64, device=device)
                for name, value in values.items()
            },
            sync_dist=True,
        )

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, MultimodalModel), "needs a contracts.MultimodalModel"
        names = [modality.name for modality in multimodal_spec(trainer).modalities]
        self._metric = MultimodalMetric(names).to(pl_module.device)

    def _update(self, outputs: Any, batch: MultimodalBatch) -> None:
        assert isinstance(outputs, MultimodalStep), "the step must return a MultimodalStep"
        assert self._metric is not None
        self._metric.update(outputs, batch.present)

    def _log(self, split: str, pl_module: LightningModule) -> None:
        assert self._metric is not None
        values = self._metric.compute()
        pl_module.log_dict(
            {f"{split}/{name}": value for name, value in values.items() if _is_told(split, name)},
            sync_dist=True,
        )

    def _measure(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        names = [modality.name for modality in multimodal_spec(trainer).modalities]
        train = infer_split(trainer, pl_module, "train", self.max_samples)
        judges = fit_judges(train, self._fit_samples)
        values: dict[str, float] = {}
        tested = tested_split(datamodule_of(trainer))
        for name, part in (("val", "val"), ("test", tested)):
            split = infer_split(trainer, pl_module, part, self.max_samples)
            found = measure_probes(judges, split.latents, names)
            found |= measure_coherence(judges, split, names, decoder_of(pl_module))
            values |= {
                f"{name}/{measure}": value
                for measure, value in found.items()
                if _is_told(name, measure)
            }
        return values

    def _fit_samples(self, data: Labelled) -> Classifier:
        if self.classifier == "mlp":
            return fit_mlp(data)
        return fit_logistic(data, self.classifier_c)


def _is_told(split: str, measure: str) -> bool:
    """Whether a measure is logged: those of pairs are many, and only of the test split."""
    return split == "test" or not measure.startswith(("imputation/", "coherence/"))
