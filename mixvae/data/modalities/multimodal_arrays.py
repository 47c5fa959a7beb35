"""The base of data modules whose modalities are aligned arrays: row i of each is event i."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mixvae.contracts import UNSCALED, ModalitySpec, MultimodalSpec
from mixvae.data.base import Split, SplitRows
from mixvae.data.modalities.alignment import Aligned
from mixvae.data.modalities.base import AbstractMultimodalDataModule, MultimodalState, scale_of
from mixvae.data.modalities.event_labels import EventLabels, split_events
from mixvae.data.modalities.modality_arrays import (
    OpenedArrays,
    check_arrays,
    check_tokens_vary,
    check_unit,
    check_variation,
    gap_filling,
    in_memory,
    open_arrays,
)
from mixvae.data.modalities.modality_forms import Form, check_kinds
from mixvae.data.modalities.pairing import MISSING, check_no_empty_event, drop_at_random
from mixvae.data.modalities.resident import ModalityStores, MultimodalTensors, Store


class AbstractArraysDataModule(AbstractMultimodalDataModule):
    """Aligned arrays, shape (N, *shape_m) each: row i of every modality belongs to event i.

    A row of NaN is a missing modality, a single NaN a missing value. Labels are for evaluation, and
    for a split in which every class has its share. `MultimodalBatch.rows` are rows of the arrays.

    Args:
        files: Where each modality comes from, by name, as messages show it.
        standardise: Whether each feature gets mean 0 and deviation 1 in training: of all
            modalities of numbers, of none, or of those named.
        kinds: Kind of some modalities by name: `vector`, `image`, `counts`, `tokens` (whole
            numbers or one-hot), `words` or `letters` (texts); guessed for others.
        padding: Token number that is padding, beside those below 0.
        map_above: Size in GiB from which an array that is mapped stays on disk.
    """

    name = "multimodal"

    def __init__(
        self,
        files: Mapping[str, str],
        /,
        *,
        standardise: bool | Sequence[str] = False,
        kinds: Mapping[str, str] | None = None,
        padding: int | None = None,
        map_above: float = 4.0,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.files = dict(files)
        if not isinstance(standardise, bool):
            standardise = [str(name) for name in standardise]
            unknown = [name for name in standardise if name not in self.files]
            if unknown:
                raise ValueError(
                    f"data.standardise names {unknown[0]!r}, which is not one of the modalities"
                    f" {', '.join(self.files)}"
                )
        self.standardise = standardise
        self.kinds = check_kinds(kinds, list(self.files))
        self.padding = padding
        if not map_above >= 0:
            raise ValueError(f"map_above is {map_above}; it must be 0 or more, in GiB")
        self.map_above = map_above
        self._read: OpenedArrays | None = None
        self._labels = EventLabels.none(0)
        self._spec: MultimodalSpec | None = None
        self._parts: dict[Split, np.ndarray] = {}

    @abstractmethod
    def read_arrays(self) -> Aligned:
        """The array of each modality, in the order of `files`."""

    @abstractmethod
    def read_labels(self, num_events: int, ids: tuple[str, ...] | None) -> EventLabels:
        """The labels of events, called after `read_arrays`."""

    def split(self, labels: EventLabels) -> dict[Split, np.ndarray]:
        """Rows of each split, sorted; each class has its share of each."""
        return split_events(labels, [self.val_fraction, self.test_fraction], self.split_seed)

    @property
    def spec(self) -> MultimodalSpec:
        """Shapes and classes, read from the files."""
        if self._spec is None:
            self._open()
        assert self._spec is not None
        return self._spec

    @property
    def tags(self) -> np.ndarray:
        """Tags of each row, shape (N, T), float32 of 0, 1, and NaN where unknown; T may be 0."""
        return self._labels.tags

    def sample_table(self, split: Split, modality: int) -> dict[str, np.ndarray]:
        """The samples of one modality in a split, those missing or hidden left out.

        Returns:
            `row`: row in the modality's file; `label`: class. Each of shape (n,), int64, by row.
        """
        assert self._splits, "setup() comes before the samples"
        tensors = self._splits[split].tensors
        assert isinstance(tensors, MultimodalTensors)
        rows, label = tensors.events[:, modality].cpu().numpy(), tensors.label.cpu().numpy()
        return {"row": rows[rows != MISSING], "label": label[rows != MISSING]}

    def event_rows(self, split: Split) -> np.ndarray:
        """Row of each event of a split in the files, shape (N,)."""
        assert self._parts, "setup() comes before the events"
        return self._parts[split]

    def take_state(self, run: MultimodalState) -> None:
        """Take over a run's state, see `AbstractMultimodalDataModule`, and number classes anew."""
        if not self._splits:
            self.run_state, self._spec, self._read = run, None, None
        super().take_state(run)

    def read_splits(self) -> dict[Split, SplitRows]:
        """Read the arrays and split the events."""
        spec, names = self.spec, list(self.files)
        read, self._read = self._read, None  # their files need not stay open
        assert read is not None, "the data are read once"
        present, parts = read.present, self._parts
        _check_presence(
            names, present[parts["train"]], f"in every training row (seed {self.split_seed})"
        )
        stores = []
        for m, modality in enumerate(spec.modalities):
            training = parts["train"][present[parts["train"], m]]
            stores.append(self._store(modality, read, training, present[:, m]))
        together = ModalityStores(stores)
        splits: dict[Split, SplitRows] = {}
        for split, rows in parts.items():
            events = np.where(present[rows], rows[:, None], MISSING)
            if split == "train" and self.missing_fraction:
                generator = np.random.default_rng([self.seed, 2])
                hidden = drop_at_random(events, self.missing_fraction, generator)
                _check_pairs(events, hidden, self.missing_fraction)
                events = hidden
            label = torch.from_numpy(self._labels.label[rows])
            tensors = MultimodalTensors(
                together, torch.from_numpy(events), label, is_complete=bool((events >= 0).all())
            )
            splits[split] = SplitRows(tensors, torch.arange(len(rows)))
        return splits

    def fit_batch_size(self, num_train: int) -> None:
        """Make the batches of few events half of those for training."""
        self.halve_batches(num_train, "events")

    def _open(self) -> None:
        """Open the arrays, check shapes and labels, and split the events."""
        arrays = self.read_arrays()
        num_events = check_arrays(self.files, arrays)
        self._labels = self.read_labels(num_events, arrays.ids)
        self._parts = self.split(self._labels)
        forms = {} if self.run_state is None else dict(self.run_state.forms)
        for name in forms:
            self.run_state.check_unit(name, arrays[name])  # type: ignore[union-attr]
        read = open_arrays(arrays, forms, self.kinds, self.padding, self._parts["train"])
        _check_presence(list(self.files), read.present, "in every row")
        check_no_empty_event(read.present)
        if len(self.files) == 1:
            raise ValueError(
                f"data.modalities names {next(iter(self.files))!r} alone; several modalities are"
                " two or more"
            )
        self._check_uses(read.forms)
        self._read, self._forms = read, dict(read.forms)
        known = {} if self.run_state is None else {s.name: s for s in self.run_state.modalities}
        self._spec = MultimodalSpec(
            name=self.name,
            modalities=tuple(
                known.get(name)
                or ModalitySpec(name, form.shape(arrays[name]), form.kind, has_gaps=read.gaps[name])
                for name, form in read.forms.items()
            ),
            num_classes=len(self._labels.names),
            class_names=self._labels.names,
        )

    def _check_uses(self, forms: Mapping[str, Form]) -> None:
        """Refuse settings that no modality uses."""
        named = [] if isinstance(self.standardise, bool) else self.standardise
        unscaled = [name for name in named if forms[name].kind in UNSCALED]
        if unscaled:
            raise ValueError(
                f"data.standardise names {unscaled[0]!r}, which holds {forms[unscaled[0]].kind};"
                " these are not standardised: leave it out"
            )
        if self.padding is not None and all(form.padding is None for form in forms.values()):
            raise ValueError(
                f"data.padding is {self.padding!r}, but no modality holds token numbers; declare"
                " them, such as data.kinds={caption: tokens}"
            )

    def _store(
        self,
        modality: ModalitySpec,
        read: OpenedArrays,
        training: np.ndarray,
        present: np.ndarray,
    ) -> Store:
        """Store one modality: in memory, standardised, or on disk and standardised as it is read.

        Args:
            training: Rows that train and have it, shape (T,).
            present: Whether each row has it, shape (N,).
        """
        name, form, values = modality.name, read.forms[modality.name], read.values[modality.name]
        if tuple(form.shape(read.raw[name])) != tuple(modality.shape):
            raise ValueError(
                f"the modality {name} has the shape {form.shape(read.raw[name])}; the run was"
                f" trained on {tuple(modality.shape)}"
            )
        if form.num_tokens:
            check_tokens_vary(name, values[training])
            return Store(torch.from_numpy(values.astype(np.int32)), form.num_tokens)
        measured = scale_of(values, training)
        centre: NDArray[Any] = measured.mean
        if self.run_state is not None and name in self.run_state.centres:
            centre = self.run_state.centres[name]
        self._centres[name] = centre.astype(np.float32)
        check_variation(name, values, training, measured)
        scale = None if form.kind in UNSCALED else self.scale(name, lambda: measured)
        if scale is None and form.unit == 1.0 and form.kind in ("vector", "image"):
            check_unit(name, measured, values, training)
        # the model of a run without gaps knows none
        is_filled = read.gaps[name] and not modality.has_gaps
        fill = gap_filling(self._centres[name], values) if is_filled else None
        is_mapped = isinstance(read.raw[name], np.memmap) and values.nbytes > self.map_above * 2**30
        unit = 1.0 if scale is not None else form.unit
        if is_mapped:
            pair = None if scale is None else tuple(map(torch.from_numpy, scale))
            filling = None if fill is None else torch.from_numpy(fill)
            return Store(torch.from_numpy(values), 0, unit, pair, filling, is_mapped=True)  # type: ignore[arg-type]
        if values.dtype == np.uint8 and scale is None and present.all():
            return Store(torch.from_numpy(np.array(values)), unit=unit)
        return Store(torch.from_numpy(in_memory(values, present, scale, unit, fill)))


def _check_presence(names: Sequence[str], present: np.ndarray, where: str) -> None:
    """Refuse a modality that is missing in every row."""
    for name, column in zip(names, present.T, strict=True):
        if not column.any():
            raise ValueError(f"the modality {name!r} is missing {where}; leave it out")


def _check_pairs(events: np.ndarray, hidden: np.ndarray, fraction: float) -> None:
    """Refuse to hide so many samples that no event has two."""
    before, after = (((table != MISSING).sum(axis=1) > 1).any() for table in (events, hidden))
    if before and not after:
        raise ValueError(
            f"data.missing_fraction={fraction:g} leaves no training event with two modalities, so"
            " that nothing ties them; choose a smaller one"
        )
