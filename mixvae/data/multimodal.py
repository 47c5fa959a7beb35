"""Any aligned arrays as modalities: row i of each is event i."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mixvae.contracts import UNKNOWN_LABEL, ModalitySpec, MultimodalSpec
from mixvae.data.array_files import read_array, read_labels
from mixvae.data.base import SPLITS, Split, SplitRows
from mixvae.data.given_modalities import modalities_of
from mixvae.data.multimodal_base import AbstractMultimodalDataModule
from mixvae.data.multimodal_resident import ModalityStores, MultimodalTensors
from mixvae.data.multimodal_state import MultimodalState
from mixvae.data.pairing import (
    MISSING,
    check_no_empty_event,
    drop_at_random,
    present_rows,
    split_by_class,
)

RESERVED = ("joint", "events")


class MultimodalDataModule(AbstractMultimodalDataModule):
    """Aligned arrays, shape (N, *shape_m) each: row i of every modality belongs to event i.

    A row of NaN is a missing modality. Labels are for evaluation, and for a split in which every
    class has its share. `MultimodalBatch.rows` are rows of the files. Data that a trained model is
    tested on are standardised by its training data, and their classes have its numbers.

    Args:
        modalities: File of each modality by name, in the order of the model's; `.npy`, `.npz`
            (or `file.npz:key`) or `.csv`.
        labels: File of the labels, whole numbers (below 0: none) or texts (empty: none).
        class_names: Names of the classes: of the numbers 0, 1, ..., or the texts themselves.
            None takes the labels that occur, sorted; in a trained run, those of the run.
        standardise: Whether each feature gets mean 0 and deviation 1 in training: of all
            modalities, of none, or of those named.
        **shared: See `AbstractMultimodalDataModule`.
    """

    def __init__(
        self,
        *,
        modalities: Mapping[str, str] | None = None,
        labels: str | None = None,
        class_names: Sequence[str] | None = None,
        standardise: bool | Sequence[str] = False,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if not modalities:
            raise ValueError(
                "data.modalities names no file; name one for each modality, such as"
                " 'data.modalities={a: a.npy, b: b.npy}'"
            )
        # YAML reads a name such as 1 as a number
        self.files = {str(name): file for name, file in modalities.items()}
        for name in self.files:
            if not name or set(name) & set("/ \t\n"):
                raise ValueError(
                    f"data.modalities has the name {name!r}; metrics are named after modalities,"
                    " so it may not be empty nor hold / or spaces"
                )
            if name in RESERVED:
                raise ValueError(
                    f"data.modalities has the name {name!r}, which names predictions and metrics"
                    " of several modalities; choose another one"
                )
        if class_names is not None and len(set(class_names)) < len(class_names):
            raise ValueError(f"class_names names a class twice: {list(class_names)}")
        self.label_file = labels
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        if not isinstance(standardise, bool):
            standardise = [str(name) for name in standardise]
            unknown = [name for name in standardise if name not in self.files]
            if unknown:
                raise ValueError(
                    f"data.standardise names {unknown[0]!r}, which is not one of the modalities"
                    f" {', '.join(self.files)}"
                )
        self.standardise = standardise
        self._arrays: tuple[np.ndarray, ...] = ()
        self._label = np.empty(0, dtype=np.int64)
        self._spec: MultimodalSpec | None = None
        self._parts: dict[Split, np.ndarray] = {}

    @classmethod
    def take(cls, data: Any, labels: Any) -> dict[str, Any]:
        """Take arrays or AnnData objects by name, or a MuData object; see `modalities_of`."""
        arrays, labels = modalities_of(data, labels)
        return {"modalities": arrays} | ({} if labels is None else {"labels": labels})

    @property
    def spec(self) -> MultimodalSpec:
        """Shapes and classes, read from the files."""
        if self._spec is None:
            self._open()
        assert self._spec is not None
        return self._spec

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
            self.run_state, self._spec = run, None
        super().take_state(run)

    def read_splits(self) -> dict[Split, SplitRows]:
        """Read the arrays and split the events."""
        spec = self.spec
        read = [np.array(array, dtype=np.float32) for array in self._arrays]
        self._arrays = ()  # their files need not stay open
        names = [modality.name for modality in spec.modalities]
        present = np.stack([present_rows(*pair) for pair in zip(names, read, strict=True)], axis=1)
        _check_presence(names, present, "in every row")
        parts = self._parts = self._split_events()
        _check_presence(names, present[parts["train"]], f"in every training row (seed {self.seed})")
        for modality, array in enumerate(read):
            array[~present[:, modality]] = 0.0
            training = parts["train"][present[parts["train"], modality]]
            read[modality] = self.standardised(names[modality], array, training)
        stores = ModalityStores([torch.from_numpy(array) for array in read])
        splits: dict[Split, SplitRows] = {}
        for split, rows in parts.items():
            events = np.where(present[rows], rows[:, None], MISSING)
            if split == "train" and self.missing_fraction:
                generator = np.random.default_rng([self.seed, 2])
                events = drop_at_random(events, self.missing_fraction, generator)
            label = torch.from_numpy(self._label[rows])
            tensors = MultimodalTensors(
                stores, torch.from_numpy(events), label, is_complete=bool((events >= 0).all())
            )
            splits[split] = SplitRows(tensors, torch.arange(len(rows)))
        return splits

    def _open(self) -> None:
        """Open the files, and check shapes and labels."""
        arrays = {name: read_array(file) for name, file in self.files.items()}
        for name, array in arrays.items():
            if array.ndim < 2 or 0 in array.shape:
                raise ValueError(
                    f"{self.files[name]} of the modality {name!r} has the shape {array.shape}; it"
                    " must be (samples, features) or (samples, channels, height, width), none 0"
                )
        sizes = {name: len(array) for name, array in arrays.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(
                f"the modalities differ in their numbers of rows: {told}. Row i of each must"
                " belong to event i; write a row of NaN where a modality is missing"
            )
        num_samples = next(iter(sizes.values()))
        names: tuple[str, ...] = ()
        self._label = np.full(num_samples, UNKNOWN_LABEL, dtype=np.int64)
        if self.label_file is not None:
            labels = read_labels(self.label_file, num_samples)
            names = self.class_names or _distinct(labels)
            # The classes of a trained run keep their numbers.
            if self.class_names is None and self.run_state is not None:
                names = self.run_state.classes or names
            by_name = self.class_names is None or labels.dtype.kind == "U"
            self._label = _numbered(labels, names, self.label_file, by_name=by_name)
        self._arrays = tuple(arrays.values())
        self._spec = MultimodalSpec(
            name="multimodal",
            modalities=tuple(
                ModalitySpec(name, tuple(array.shape[1:])) for name, array in arrays.items()
            ),
            num_classes=len(names),
            class_names=names,
        )

    def _split_events(self) -> dict[Split, np.ndarray]:
        """Rows of each split, sorted; each class has its share of each."""
        groups = {int(k): np.flatnonzero(self._label == k) for k in np.unique(self._label)}
        few = np.empty(0, dtype=np.int64)
        if len(groups.get(UNKNOWN_LABEL, ())) < len(SPLITS):
            few = groups.pop(UNKNOWN_LABEL, few)  # without a label, and too few to share out: train
        for label, rows in groups.items():
            if len(rows) < len(SPLITS):
                raise ValueError(
                    f"class {self.spec.class_names[label]!r} has {len(rows)} of {len(self._label)}"
                    f" events; it needs {len(SPLITS)} or more, for training, validation and test"
                )
        generator = np.random.default_rng([self.seed, 1])
        parts = split_by_class(groups, [self.val_fraction, self.test_fraction], generator)
        val, test, train = (np.concatenate(list(part.values())) for part in parts)
        found = (np.concatenate([train, few]), val, test)
        return dict(zip(SPLITS, map(np.sort, found), strict=True))


def _check_presence(names: Sequence[str], present: np.ndarray, where: str) -> None:
    """Refuse a modality that is missing in every row, and an event that has none."""
    for name, column in zip(names, present.T, strict=True):
        if not column.any():
            raise ValueError(f"the modality {name!r} is missing {where}; leave it out")
    check_no_empty_event(present)


def _distinct(labels: np.ndarray) -> tuple[str, ...]:
    """Name the classes after the labels that occur, sorted."""
    known = labels != "" if labels.dtype.kind == "U" else labels >= 0
    return tuple(str(value) for value in np.unique(labels[known]))


def _numbered(
    labels: np.ndarray, class_names: Sequence[str], file: str, *, by_name: bool
) -> np.ndarray:
    """Number the classes of labels by their names, or take the numbers: shape (N,), int64."""
    texts = labels.dtype.kind == "U"
    number: dict[object, int] = {
        (name if texts else int(name)) if by_name else index: index
        for index, name in enumerate(class_names)
        if texts or not by_name or name.lstrip("-").isdigit()
    }
    known = [value in number or value == "" or (not texts and value < 0) for value in labels]
    if not all(known):
        wrong = labels[known.index(False)]
        raise ValueError(
            f"{file} holds the label {str(wrong)!r}, which is not one of the {len(class_names)}"
            f" class_names {', '.join(class_names)}"
            + ("" if by_name else f" (numbers from 0 to {len(class_names) - 1})")
        )
    codes = [number.get(value, UNKNOWN_LABEL) for value in labels.tolist()]
    return np.array(codes, dtype=np.int64)
