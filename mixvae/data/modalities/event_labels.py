"""Labels of events, numbered; and the split of events by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixvae.contracts import UNKNOWN_LABEL
from mixvae.data.base import SPLITS, Split
from mixvae.data.files.labels import check_labels, read_label_rows
from mixvae.data.modalities.alignment import check_unique, place_of, tell_unused
from mixvae.data.modalities.pairing import split_by_class
from mixvae.messages import inform, warn

UNMEASURED = "probes and coherence need two classes and will not be measured"


@dataclass(frozen=True)
class EventLabels:
    """One class of each event, or several tags.

    Attributes:
        label: Class of each event, shape (N,), int64; -1 where unknown.
        tags: Labels that an event may have beside each other, shape (N, T), float32 of 0, 1 and NaN
            where unknown; T = 0 for one class or none.
    """

    label: np.ndarray
    names: tuple[str, ...]
    tags: np.ndarray

    @classmethod
    def none(cls, num_events: int) -> EventLabels:
        """No label for any event."""
        unknown = np.full(num_events, UNKNOWN_LABEL, dtype=np.int64)
        return cls(unknown, (), np.empty((num_events, 0), dtype=np.float32))


def read_event_labels(
    file: str,
    num_events: int,
    ids: tuple[str, ...] | None,
    id_column: str | None,
    class_names: tuple[str, ...] | None,
    run_names: tuple[str, ...] | None,
) -> EventLabels:
    """Read the labels of a file, by the ids of events where both have them.

    Args:
        run_names: Classes of a trained run, which keep their numbers.
    """
    labels, own_ids = read_label_rows(file, num_events, id_column)
    if own_ids is not None and ids is None:
        tell_unused(file, own_ids, "data.modalities")
    elif own_ids is not None and ids is not None:
        if not set(own_ids) & set(ids):
            raise ValueError(
                f"{file} names its rows {own_ids[0]!r}, ..., and the events are {ids[0]!r}, ...:"
                " none in common; make the names alike, or leave them out"
            )
        check_unique(file, own_ids)
        labels = _at(labels, place_of(own_ids, ids))
    elif ids is not None:
        inform(f"{file} has no ids: its labels are those of the events in order, {ids[0]!r}, ...")
    check_labels(file, labels, num_events)
    empty = EventLabels.none(num_events)
    if labels.ndim == 2:
        if not (labels == 0).any(axis=0)[(labels == 1).any(axis=0)].any():
            warn(f"{file} has no tag with both 0 and 1: {UNMEASURED}")
        return EventLabels(empty.label, empty.names, labels)
    names = class_names or run_names or _distinct(labels)
    by_name = class_names is None or labels.dtype.kind == "U"
    label = _numbered(labels, names, file, by_name=by_name)
    known = np.unique(label[label >= 0])
    if len(known) < 2:
        held = f"one class only, {names[known[0]]!r}" if len(known) else "no known label"
        warn(f"{file} holds {held}: {UNMEASURED}")
    return EventLabels(label, names, empty.tags)


def _at(labels: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Labels at the places of events; unknown where there is none, -1."""
    taken = labels[np.maximum(place, 0)]
    unknown = {"U": "", "i": UNKNOWN_LABEL, "f": np.nan}[labels.dtype.kind]
    taken[place < 0] = unknown
    return taken


def split_events(
    labels: EventLabels, fractions: Sequence[float], seed: int
) -> dict[Split, np.ndarray]:
    """Rows of each split, sorted; each class has its share of each.

    Classes of one or two events, which cannot be shared out, train.

    Args:
        fractions: Shares that validate and test.
    """
    label = labels.label
    groups = {int(k): np.flatnonzero(label == k) for k in np.unique(label)}
    rare = {k: groups.pop(k) for k in list(groups) if len(groups[k]) < len(SPLITS)}
    if not groups:
        raise ValueError(
            f"{len(label)} events in classes of at most {len(SPLITS) - 1}: too few to share out"
            " for training, validation and test; labels are classes, not names or numbers of events"
        )
    few = [np.empty(0, dtype=np.int64), *rare.values()]
    names = [labels.names[k] for k in rare if k != UNKNOWN_LABEL]
    if names:
        others = f", and {len(names) - 1} other classes one or two" if len(names) > 1 else ""
        warn(
            f"class {names[0]!r} has {(label == labels.names.index(names[0])).sum()} of"
            f" {len(label)} events{others}: all of them train, and none validates or tests"
        )
    generator = np.random.default_rng([seed, 1])
    parts = split_by_class(groups, list(fractions), generator)
    val, test, train = (np.concatenate(list(part.values())) for part in parts)
    found = (np.concatenate([train, *few]), val, test)
    return dict(zip(SPLITS, map(np.sort, found), strict=True))


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
