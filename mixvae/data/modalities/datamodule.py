"""Any aligned arrays as modalities: row i of each is event i."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixvae.data.modalities.alignment import Aligned, read_aligned
from mixvae.data.modalities.event_labels import EventLabels, read_event_labels
from mixvae.data.modalities.given_modalities import check_names, modalities_of
from mixvae.data.modalities.multimodal_arrays import AbstractArraysDataModule


class MultimodalDataModule(AbstractArraysDataModule):
    """Aligned arrays, shape (N, *shape_m) each: row i of every modality belongs to event i.

    A row of NaN is a missing modality, a single NaN a missing value. Labels are for evaluation, and
    for a split in which every class has its share. `MultimodalBatch.rows` are rows of the files, or
    of their events where they are aligned by ids. Data that a trained model is tested on are
    standardised by its training data, and their classes have its numbers.

    Args:
        modalities: File of each modality by name, in the order of the model's, see
            `array_files`; `file:key` names one array of a file.
        labels: File of the labels, whole numbers (below 0: none), texts (empty: none), or a table
            of 0 and 1 with a column for each tag that an event may have.
        class_names: Names of the classes: of the numbers 0, 1, ..., or the texts themselves.
            None takes the labels that occur, sorted; in a trained run, those of the run.
        id_column: Column of tables that names their rows; None finds it, an empty text has none.
    """

    def __init__(
        self,
        *,
        modalities: Mapping[str, str] | None = None,
        labels: str | None = None,
        class_names: Sequence[str] | None = None,
        id_column: str | None = None,
        **shared: Any,
    ) -> None:
        if not modalities:
            raise ValueError(
                "data.modalities names no file; name one for each modality, such as"
                " 'data.modalities={a: a.npy, b: b.npy}'"
            )
        check_names(modalities)
        files = {str(name): file for name, file in modalities.items()}
        super().__init__(files, **shared)
        if class_names is not None and len(set(class_names)) < len(class_names):
            raise ValueError(f"class_names names a class twice: {list(class_names)}")
        self.label_file = labels
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.id_column = id_column

    @classmethod
    def take(cls, data: Any, labels: Any) -> dict[str, Any]:
        """Take arrays or AnnData objects by name, or a MuData object; see `modalities_of`."""
        arrays, labels = modalities_of(data, labels)
        return {"modalities": arrays} | ({} if labels is None else {"labels": labels})

    def read_arrays(self) -> Aligned:
        """Read the files, aligned by the ids of their rows where all have them."""
        return read_aligned(self.files, self.id_column)

    def read_labels(self, num_events: int, ids: tuple[str, ...] | None) -> EventLabels:
        """Read the file of labels; the classes of a trained run keep their numbers."""
        if self.label_file is None:
            return EventLabels.none(num_events)
        run_names = None if self.run_state is None else self.run_state.classes or None
        return read_event_labels(
            self.label_file, num_events, ids, self.id_column, self.class_names, run_names
        )
