"""The arrays of several modalities: their forms, what of them is missing, and their units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.modalities.base import Scale
from mixvae.data.modalities.modality_forms import Form, form_of
from mixvae.data.modalities.pairing import find_missing, row_chunks
from mixvae.data.modalities.vocabulary import MAX_LENGTH, Vocabulary
from mixvae.messages import inform, warn

MIN_EVENTS = 3
LARGEST_SQUARED = 1e17  # a sum of some thousand squares stays in float32
TINY, HUGE = 0.01, 100.0  # at deviations of .003 and 300, coherence stayed at chance


@dataclass(frozen=True)
class OpenedArrays:
    """Arrays of M modalities by name, not yet in memory where they are mapped.

    Attributes:
        values: In the model's order of axes, texts as tokens.
        present: Whether each row of each is there, shape (N, M), bool.
        gaps: Whether rows that are there miss single values.
    """

    raw: Mapping[str, NDArray[Any]]
    values: Mapping[str, NDArray[Any]]
    forms: Mapping[str, Form]
    present: NDArray[np.bool_]
    gaps: Mapping[str, bool]


def check_arrays(files: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> int:
    """Refuse arrays of other shapes; return the number of events."""
    for name, array in arrays.items():
        if (array.ndim < 2 and array.dtype.kind != "U") or 0 in array.shape or not array.ndim:
            advice = (
                "; for one feature: array.reshape(-1, 1)" if array.ndim == 1 and len(array) else ""
            )
            raise ValueError(
                f"{files[name]} of the modality {name!r} has the shape {array.shape}; it must be"
                f" (samples, features) or (samples, channels, height, width), none 0{advice}"
            )
        if len(array) < MIN_EVENTS:
            raise ValueError(
                f"{files[name]} of the modality {name!r} has {len(array)} rows; training,"
                f" validation and test need {MIN_EVENTS} or more"
            )
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        turned = [
            f". {name} has {arrays[name].shape[1]} columns: it may have to be transposed"
            for name in arrays
            if arrays[name].ndim == 2
            and arrays[name].shape[1] in set(sizes.values()) - {len(arrays[name])}
        ]
        raise ValueError(
            f"the modalities differ in their numbers of rows: {told}. Row i of each must"
            " belong to event i; write a row of NaN where a modality is missing, or give each"
            f" table a column of ids{''.join(turned[:1])}{_one_more(files, sizes)}"
        )
    return next(iter(sizes.values()))


def _one_more(files: Mapping[str, str], sizes: Mapping[str, int]) -> str:
    """A hint at a table whose first line may name its columns, or a text by mistake."""
    for name, size in sizes.items():
        if str(files[name]).endswith((".csv", ".tsv")):
            if size - 1 in sizes.values():
                return f". The first line of {files[name]} may be names: remove it if so"
            if size + 1 in sizes.values():
                return f". The first line of {files[name]} was taken for names: write one above it"
    return ""


def open_arrays(
    arrays: Mapping[str, NDArray[Any]],
    forms: Mapping[str, Form],
    kinds: Mapping[str, str],
    padding: int | None,
    training: NDArray[np.int64],
) -> OpenedArrays:
    """Give arrays their forms, those of a run or guessed, and find what is missing.

    Args:
        training: Rows from which a vocabulary is fitted.
    """
    found: dict[str, Form] = {}
    values, present, gaps = {}, [], {}
    for name, array in arrays.items():
        form = forms.get(name) or _fitted(name, array, kinds.get(name), padding, training)
        values[name] = form.encoded(name, array)
        where = find_missing(name, values[name], are_tokens=form.num_tokens > 0)
        found[name], gaps[name] = form, where.has_gaps
        present.append(where.present)
        if where.has_gaps:
            inform(f"{name} has single missing values (NaN): they are left out of the loss")
    return OpenedArrays(arrays, values, found, np.stack(present, axis=1), gaps)


def _fitted(
    name: str,
    array: NDArray[Any],
    kind: str | None,
    padding: int | None,
    training: NDArray[np.int64],
) -> Form:
    """The form of an array; that of texts with a vocabulary of training texts."""
    form = form_of(name, array, kind, padding)
    if form.vocabulary is None:
        return form
    try:
        vocabulary = Vocabulary.fit(array[training].tolist(), letters=form.vocabulary.letters)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    cut = ", longer ones cut" if vocabulary.length == MAX_LENGTH else ""
    inform(
        f"{name}: texts of at most {vocabulary.length} tokens{cut}, {len(vocabulary.tokens)}"
        " different"
    )
    if vocabulary.share_of_rare > 0.5:
        warn(
            f"{name}: {vocabulary.share_of_rare:.0%} of the words of training texts occur once, so"
            f" other texts will be unknown; data.kinds={{{name}: letters}} reads letters"
        )
    return replace(form, vocabulary=vocabulary, num_tokens=len(vocabulary.tokens))


def check_variation(
    name: str, values: NDArray[Any], training: NDArray[np.int64], scale: Scale
) -> None:
    """Refuse a modality that is constant in training; name features that are."""
    if len(training) < 2:
        return  # `callbacks.health` warns of few rows
    first = np.asarray(values[training[0]], dtype=np.float64)
    flat = scale.deviation == 1.0
    constant = flat & ((first == scale.mean) | np.isclose(first, scale.mean, rtol=1e-6, atol=0))
    if constant.all():
        raise ValueError(
            f"the modality {name!r} is constant in training (all {len(training)} rows are alike to"
            " six digits); leave it out, or subtract its mean"
        )
    if constant.any() and values.ndim == 2:
        count = f"{int(constant.sum())} of {constant.size}"
        inform(f"{name}: {count} features are constant in training")
    if values.dtype.kind == "f" and values.ndim == 2:
        empty = np.ones(values.shape[1], dtype=bool)
        for rows in row_chunks(values, len(training)):
            empty &= np.isnan(values[training[rows]]).all(axis=0)
        if empty.any():
            warn(
                f"{name}: {int(empty.sum())} of {len(empty)} features have no value in training"
                f" (number {int(empty.argmax())}, counted from 0, is one): leave them out"
            )


def check_tokens_vary(name: str, tokens: NDArray[np.int64]) -> None:
    """Refuse tokens of training rows, shape (T, length), that are alike in all rows."""
    if len(tokens) > 1 and (tokens == tokens[0]).all():
        raise ValueError(
            f"the modality {name!r} is constant in training (all {len(tokens)} rows are alike);"
            " leave it out"
        )


def check_unit(name: str, scale: Scale, values: NDArray[Any], training: NDArray[np.int64]) -> None:
    """Refuse values whose squares overflow; warn of values far from 1, networks' own unit.

    Vectors of whole numbers of at least 0 may be counts: the checks of likelihoods warn of them.
    """
    varying = scale.deviation[scale.deviation != 1.0]  # 1 stands for a constant
    spread = float(varying.max(initial=0.0))
    largest = float(np.abs(scale.mean).max()) + spread
    if largest > LARGEST_SQUARED:
        raise ValueError(
            f"the modality {name!r} has values of about {largest:.1e}, whose squares overflow; set"
            f" data.standardise=[{name}], or choose another unit"
        )
    some = np.nan_to_num(np.asarray(values[training[:100]], dtype=np.float64))
    are_counts = values.ndim == 2 and bool(((some >= 0) & (some == np.floor(some))).all())
    if varying.size and not are_counts and (spread < TINY or largest > HUGE):
        warn(
            f"the modality {name!r} has values of about {largest:.1e} that vary by up to"
            f" {spread:.1e}; networks learn little from values far from 1: set"
            f" data.standardise=[{name}]"
        )


def gap_filling(centre: NDArray[np.float32], values: NDArray[Any]) -> NDArray[np.float32]:
    """What single missing values become: the training mean, rounded among whole numbers.

    A mean of counts is no count.
    """
    for rows in row_chunks(values):
        part = np.asarray(values[rows])
        if not ((part == np.floor(part)) | np.isnan(part)).all():
            return centre
    return np.rint(centre)


def in_memory(
    values: NDArray[Any],
    present: NDArray[np.bool_],
    scale: Scale | None,
    unit: float,
    fill: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Samples as float32, standardised or divided by a unit, 0 where missing.

    Args:
        fill: Values in place of NaN, in the unit of the file; None leaves it.
    """
    ready = np.empty(values.shape, dtype=np.float32)
    for rows in row_chunks(values):
        part = np.asarray(values[rows])
        if fill is not None:
            part = np.where(np.isnan(part), fill, part)
        if scale is not None:
            ready[rows] = scale.apply(part)
        else:
            ready[rows] = part if unit == 1.0 else part / unit
        ready[rows][~present[rows]] = 0.0
    return ready
