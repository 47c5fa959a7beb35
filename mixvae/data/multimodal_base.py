"""The base of data modules of several modalities: scales, and the state that a run keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.contracts import MultimodalSpec
from mixvae.data.base import AbstractResidentDataModule, Split
from mixvae.data.checks import check_fraction, check_fractions
from mixvae.data.modality_forms import Form
from mixvae.data.multimodal_state import MultimodalState, Scale, scale_of


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
        **shared: See `AbstractResidentDataModule`.
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
