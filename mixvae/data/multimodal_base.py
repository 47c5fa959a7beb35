"""What data modules of several modalities share: scales, and a state that a run remembers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.contracts import MultimodalSpec
from mixvae.data.base import AbstractResidentDataModule, Split
from mixvae.data.multimodal_state import MultimodalState, Scale, scale_of


class AbstractMultimodalDataModule(AbstractResidentDataModule):
    """A resident data module whose events have several modalities.

    A checkpoint holds its state. Loaded before `setup`, it is what other data go by: their
    modalities must be the run's, in its order, they are standardised by its training data, and
    classes have its numbers. Loaded later, as Lightning does, it is compared.
    """

    standardise: bool | Sequence[str]

    def __init__(self, *args: Any, **settings: Any) -> None:
        """Check the settings, see `AbstractResidentDataModule`."""
        super().__init__(*args, **settings)
        self.run_state: MultimodalState | None = None
        self._scales: dict[str, Scale] = {}

    @property
    @abstractmethod
    def spec(self) -> MultimodalSpec:
        """Shapes and classes."""

    @abstractmethod
    def sample_table(self, split: Split, modality: int) -> dict[str, NDArray[np.int64]]:
        """Say which samples of one modality a split has: `row`, `label`, and what else it tells."""

    @abstractmethod
    def event_rows(self, split: Split) -> NDArray[np.int64]:
        """By what number each event of a split is known to the user, shape (N,)."""

    def standardised(
        self, name: str, samples: NDArray[np.float32], training_rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Standardise a modality where that is asked for, by the run's training data or by these.

        Args:
            name: Name of the modality.
            samples: Samples, shape (N, *shape).
            training_rows: Rows that train, shape (T,).
        """
        asked = self.standardise
        if not (asked if isinstance(asked, bool) else name in asked):
            return samples
        known = None if self.run_state is None else self.run_state.scales.get(name)
        self._scales[name] = scale_of(samples, training_rows) if known is None else known
        return self._scales[name].apply(samples)

    def state_dict(self) -> dict[str, Any]:
        """Names and shapes of modalities, classes and scales, as a checkpoint may hold them."""
        return MultimodalState.of(self.spec, self._scales).as_plain()

    def go_by(self, checkpoint: Mapping[str, Any]) -> None:
        """Take over the state of a trained run, before `setup`, if its checkpoint holds one.

        Args:
            checkpoint: A checkpoint as Lightning writes it.

        Raises:
            ValueError: If these data have other modalities.
        """
        state = MultimodalState.find(checkpoint)
        if state is not None:
            self.take_state(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go by a run's state, see `take_state`."""
        self.take_state(MultimodalState.from_plain(state))

    def take_state(self, run: MultimodalState) -> None:
        """Go by a run's state, or compare it with that of data already read.

        Raises:
            ValueError: If the data have other modalities, or were standardised otherwise.
        """
        run.check_names(self.spec.modalities)
        if self._splits:
            run.check_scales(self._scales)
        self.run_state = run
