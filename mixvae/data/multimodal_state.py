"""The state that a run of several modalities keeps of its data: names, classes, scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.contracts import ModalitySpec
from mixvae.data.modality_forms import Form
from mixvae.data.pairing import row_chunks

KEYS = ("modalities", "classes", "scales")
RELATIVE_CONSTANT = 1e-6  # ten times the spacing of float32


class Scale(NamedTuple):
    """The standardisation of the features of one modality: (x - mean) / deviation.

    Attributes:
        mean: Shape (*shape), float64, in the unit of the file.
        deviation: Shape (*shape), float64, above 0.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def apply(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Standardise samples, shape (N, *shape), as a new array."""
        scaled: NDArray[np.float32] = ((samples - self.mean) / self.deviation).astype(np.float32)
        return scaled

    def undo(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Give standardised samples, shape (N, *shape), the unit of the file, as a new array."""
        samples = samples.astype(np.float64) * self.deviation + self.mean
        return samples.astype(np.float32)


def scale_of(samples: NDArray[Any], training_rows: NDArray[np.int64]) -> Scale:
    """Measure mean and standard deviation of each feature over the training rows, without NaN.

    A feature that is constant in training has the deviation 1: it becomes 0 there, and its
    deviations elsewhere keep their unit. Constant means: to the precision of float32 relative to
    its mean, so that the unit does not matter. One without any value has the mean 0.
    """
    total = count = squares = np.zeros(samples.shape[1:], dtype=np.float64)
    parts = [training_rows[rows] for rows in row_chunks(samples, len(training_rows))]
    for rows in parts:
        part = np.asarray(samples[rows], dtype=np.float64)
        total, count = total + np.nansum(part, axis=0), count + (~np.isnan(part)).sum(axis=0)
    mean = total / np.maximum(count, 1)
    for rows in parts:
        squares = squares + np.nansum((np.asarray(samples[rows], np.float64) - mean) ** 2, axis=0)
    deviation = np.sqrt(squares / np.maximum(count, 1))
    deviation[deviation <= RELATIVE_CONSTANT * np.abs(mean)] = 1.0
    return Scale(mean, deviation)


@dataclass(frozen=True)
class MultimodalState:
    """The properties of a run's data that other data must have to go through its model.

    Attributes:
        modalities: Names and shapes, in the order of the model's networks.
        scales: Scale of each modality that was standardised, by name.
        forms: Form of each modality in its file, by name; a vector, unchanged, without one.
        centres: Training mean of each modality, in the unit of its file, by name: what single
            missing values are replaced by in a modality that had none in training.
    """

    modalities: tuple[ModalitySpec, ...]
    classes: tuple[str, ...] = ()
    scales: Mapping[str, Scale] = field(default_factory=dict)
    forms: Mapping[str, Form] = field(default_factory=dict)
    centres: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def find(cls, checkpoint: Mapping[str, Any]) -> MultimodalState | None:
        """Find it in a checkpoint as Lightning writes it; None in one of other data."""
        for state in checkpoint.values():
            if isinstance(state, Mapping) and set(KEYS) <= state.keys():
                return cls.from_plain(state)
        return None

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> MultimodalState:
        """Take back what `as_plain` gave."""
        modalities = [
            ModalitySpec(name, tuple(shape), *more) for name, shape, *more in state["modalities"]
        ]
        scales = {
            name: Scale(mean.numpy(), deviation.numpy())
            for name, (mean, deviation) in state["scales"].items()
        }
        forms = {name: Form.from_plain(plain) for name, plain in state.get("forms", {}).items()}
        centres = {name: centre.numpy() for name, centre in state.get("centres", {}).items()}
        return cls(tuple(modalities), tuple(state["classes"]), scales, forms, centres)

    def as_plain(self) -> dict[str, Any]:
        """Plain values and tensors, as a checkpoint may hold."""
        return {
            "modalities": [
                [item.name, list(item.shape), item.kind, item.has_gaps] for item in self.modalities
            ],
            "classes": list(self.classes),
            "scales": {
                name: [torch.from_numpy(np.asarray(values)) for values in scale]
                for name, scale in self.scales.items()
            },
            "forms": {name: form.as_plain() for name, form in self.forms.items()},
            "centres": {
                name: torch.from_numpy(np.asarray(centre)) for name, centre in self.centres.items()
            },
        }

    def form(self, name: str) -> Form:
        """Form of a modality in its file."""
        return self.forms.get(name, Form())

    def check_names(self, modalities: Sequence[ModalitySpec]) -> None:
        """Refuse other modalities, or the same in another order."""
        own, given = ([item.name for item in part] for part in (self.modalities, modalities))
        if own != given:
            raise ValueError(
                f"the run was trained on the modalities {', '.join(own)}, in this order; the data"
                f" have {', '.join(given)}"
            )

    def check_scales(self, scales: Mapping[str, Scale]) -> None:
        """Refuse data that were standardised otherwise."""
        for name in sorted({*self.scales, *scales}):
            then, now = self.scales.get(name), scales.get(name)
            if then is None or now is None:
                raise ValueError(
                    f"by data.standardise, {name} is {_scaled(now)} now, but the run was"
                    f" trained on it {_scaled(then)}"
                )
            if not all(np.allclose(*both) for both in zip(then, now, strict=True)):
                raise ValueError(
                    f"{name} has another mean or deviation in training than in the run: the data"
                    " are others than it was trained on"
                )


def _scaled(scale: Scale | None) -> str:
    return "as it was" if scale is None else "standardised"
