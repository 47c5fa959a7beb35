"""The base of data modules of several modalities: scales, and the state that a run keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.contracts import ModalitySpec, MultimodalSpec
from mixvae.data.base import AbstractResidentDataModule, Split, find_state
from mixvae.data.checks import check_fraction, check_fractions
from mixvae.data.modalities.modality_forms import LEAST_BYTES, Form, value_range
from mixvae.data.modalities.pairing import row_chunks

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
        state = find_state(checkpoint, KEYS)
        return None if state is None else cls.from_plain(state)

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

    def check_unit(self, name: str, samples: NDArray[Any]) -> None:
        """Refuse images from 0 to 1 where the run's were bytes, and the reverse."""
        form, centre = self.form(name), self.centres.get(name)
        if form.kind != "image":
            return
        _, top = value_range(samples)
        if form.unit != 1.0 and samples.dtype.kind == "f" and 0 < top <= 1:
            told = "were bytes from 0 to 255; multiply by 255"
        elif form.unit == 1.0 and top >= LEAST_BYTES and centre is not None and centre.max() <= 1:
            told = "were not bytes; divide by 255"
        else:
            return
        raise ValueError(f"{name} has values up to {top:g}, but the run's images {told}")

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


class AbstractMultimodalDataModule(AbstractResidentDataModule):
    """A resident data module whose events have several modalities.

    A checkpoint holds its state. Loaded before `setup`, it governs other data: their
    modalities must be the run's, in its order, they are standardised by its training data, and
    classes have its numbers. Loaded later, as Lightning does, it is compared.

    Args:
        val_fraction: Share that validates, in (0, 1).
        test_fraction: Share that tests, in (0, 1).
        batch_size: Global batch size: training events per step, over all processes.
        missing_fraction: Probability that a sample of a training event is hidden, in [0, 1), before
            one of each event that would lose all of its samples is restored.
    """

    standardise: bool | Sequence[str]

    def __init__(
        self,
        *,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        missing_fraction: float = 0.0,
        batch_size: int = 128,
        **shared: Any,
    ) -> None:
        super().__init__(val_fraction=val_fraction, batch_size=batch_size, **shared)
        check_fractions(val_fraction, test_fraction)
        if missing_fraction != 0 or isinstance(missing_fraction, bool):
            check_fraction("missing_fraction", missing_fraction)
        if not self.split_seed_given:
            self.split_seed = self.seed
        self.test_fraction = test_fraction
        self.missing_fraction = missing_fraction
        self.run_state: MultimodalState | None = None
        self._scales: dict[str, Scale] = {}
        self._forms: dict[str, Form] = {}
        self._centres: dict[str, NDArray[np.float32]] = {}

    @property
    @abstractmethod
    def spec(self) -> MultimodalSpec:
        """Shapes and classes."""

    @abstractmethod
    def sample_table(self, split: Split, modality: int) -> dict[str, NDArray[np.int64]]:
        """The samples of one modality in a split: `row`, `label` and more, each of shape (n,)."""

    @abstractmethod
    def event_rows(self, split: Split) -> NDArray[np.int64]:
        """Number by which the user knows each event of a split, shape (N,)."""

    def private_part(self, modality: int) -> Mapping[str, NDArray[Any]]:
        """What is known of one modality alone, of simulated data, for evaluation only.

        Returns:
            Numbers by name, shape (rows, C), a row for each of the modality's own array, as in
            `MultimodalBatch.rows`; empty where nothing is known.
        """
        return {}

    def standardised(
        self, name: str, samples: NDArray[Any], training_rows: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Standardise samples, shape (N, *shape), of a modality that is to be.

        The scale is that of the run's training data, or of these training rows, shape (T,).
        """
        scale = self.scale(name, lambda: scale_of(samples, training_rows))
        return samples if scale is None else scale.apply(samples)

    def scale(self, name: str, measure: Callable[[], Scale]) -> Scale | None:
        """The scale of a modality that is to be standardised: that of the run, or as measured."""
        asked = self.standardise
        if not (asked if isinstance(asked, bool) else name in asked):
            return None
        known = None if self.run_state is None else self.run_state.scales.get(name)
        self._scales[name] = measure() if known is None else known
        return self._scales[name]

    def state_dict(self) -> dict[str, Any]:
        """Names and shapes of modalities, classes and scales, as a checkpoint may hold them."""
        spec = self.spec
        return MultimodalState(
            spec.modalities, spec.class_names, dict(self._scales), self._forms, self._centres
        ).as_plain()

    def go_by(self, checkpoint: Mapping[str, Any]) -> None:
        """Take over the state of a trained run, before `setup`, if its checkpoint holds one."""
        state = MultimodalState.find(checkpoint)
        if state is not None:
            self.take_state(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go by a run's state, see `take_state`."""
        self.take_state(MultimodalState.from_plain(state))

    def take_state(self, run: MultimodalState) -> None:
        """Go by a run's state, or compare it with that of data already read."""
        run.check_names(self.spec.modalities)
        if self._splits:
            run.check_scales(self._scales)
        self.run_state = run
