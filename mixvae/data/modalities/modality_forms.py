"""What the values of a modality are, and the form in which networks see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixvae.data.modalities.pairing import row_chunks
from mixvae.data.modalities.vocabulary import PADDING, Vocabulary
from mixvae.messages import inform
from mixvae.suggestions import nearest, suggestion

KINDS = ("vector", "image", "counts", "tokens", "words", "letters")
CHANNELS = (1, 3, 4)
BYTE = 255.0
MIN_IMAGE_SIDE = 8
LEAST_BYTES = 128  # largest value from which images are taken for bytes, of any type
LARGEST_VOCABULARY = 300_000


@dataclass(frozen=True)
class Form:
    """How samples of a file become samples of a model, and back.

    Attributes:
        kind: `vector`, `image`, `counts` or `tokens`.
        channels_last: Whether images have their channels last in the file.
        unit: Divisor of the file's values, 255 for images of bytes.
        num_tokens: Number of tokens V where the file holds token numbers or texts; 0 elsewhere.
        padding: The file's token number that stands for padding, beside those below 0.
    """

    kind: str = "vector"
    channels_last: bool = False
    unit: float = 1.0
    num_tokens: int = 0
    padding: int | None = None
    vocabulary: Vocabulary | None = None

    def shape(self, samples: NDArray[Any]) -> tuple[int, ...]:
        """Shape of a model's sample, of the file's samples (N, *shape)."""
        if self.vocabulary is not None:
            return (self.vocabulary.length, self.num_tokens)
        own = samples.shape[1:]
        if self.channels_last:
            own = (own[-1], *own[:-1])
        return (*own, self.num_tokens) if self.num_tokens else own

    def file_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a sample in the file, of the model's."""
        if self.vocabulary is not None:
            return ()
        if self.num_tokens:
            return shape[:-1]
        return (*shape[1:], shape[0]) if self.channels_last else shape

    def check(self, name: str, samples: NDArray[Any]) -> None:
        """Refuse texts where the run has numbers, and the reverse."""
        if (samples.dtype.kind == "U") != (self.vocabulary is not None):
            words = "texts" if self.vocabulary is not None else "numbers"
            raise ValueError(f"{name} holds {samples.dtype}; it must hold {words}")
        if self.vocabulary is not None and samples.ndim != 1:
            raise ValueError(
                f"{name} holds texts of shape {samples.shape}; it must be one text for each event"
            )

    def encoded(self, name: str, samples: NDArray[Any]) -> NDArray[Any]:
        """Samples in the model's order of axes; tokens as numbers (N, T), padded by -1.

        Units stay those of the file: see `Store`, which divides by `unit`.
        """
        self.check(name, samples)
        if self.vocabulary is not None:
            return self.vocabulary.encode(name, samples)
        if self.num_tokens:
            return self._tokens(name, samples)
        return np.moveaxis(samples, -1, 1) if self.channels_last else samples

    def decoded(self, samples: NDArray[Any]) -> NDArray[Any]:
        """A model's samples (N, *shape), in the file's unit already, in the form of the file."""
        if self.num_tokens:
            tokens = samples.argmax(axis=-1)
            if self.vocabulary is not None:
                return self.vocabulary.decode(tokens)
            return tokens
        return np.moveaxis(samples, 1, -1) if self.channels_last else samples

    def _tokens(self, name: str, samples: NDArray[Any]) -> NDArray[np.int64]:
        if samples.dtype.kind == "f":
            tokens = np.where(np.isnan(samples), PADDING, samples)
        else:
            tokens = samples.astype(np.int64)
        if self.padding is not None:
            tokens = np.where(tokens == self.padding, PADDING, tokens)
        wrong = (tokens != np.floor(tokens)) | (tokens >= self.num_tokens)
        if wrong.any():
            row = int(np.argwhere(wrong)[0][0])
            raise ValueError(
                f"{name} has the token {tokens[wrong][0]:g} in row {row}, counted from 0; tokens"
                f" are whole numbers below {self.num_tokens}, the size of the vocabulary"
            )
        return np.maximum(tokens.astype(np.int64), PADDING)

    def as_plain(self) -> list[Any]:
        """Plain values, as a checkpoint may hold."""
        vocabulary = None if self.vocabulary is None else self.vocabulary.as_plain()
        own = [self.kind, self.channels_last, self.unit, self.num_tokens, self.padding]
        return [*own, vocabulary]

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> Form:
        """Take back what `as_plain` gave."""
        kind, channels_last, unit, num_tokens, padding, vocabulary = plain
        known = None if vocabulary is None else Vocabulary.from_plain(vocabulary)
        return cls(kind, channels_last, unit, num_tokens, padding, known)


def check_kinds(kinds: Mapping[str, str] | None, names: Sequence[str]) -> dict[str, str]:
    """Refuse kinds of other modalities, and kinds that are unknown."""
    given = {str(name): kind for name, kind in (kinds or {}).items()}
    for name, kind in given.items():
        if name not in names:
            raise ValueError(f"data.kinds.{name} is not a modality{suggestion(name, names)}")
        if kind not in KINDS:
            raise ValueError(
                f"data.kinds.{name} is {kind!r}; it must be one of {', '.join(KINDS)}"
                f"{nearest(str(kind), KINDS)}"
            )
    return given


def form_of(name: str, samples: NDArray[Any], kind: str | None, padding: int | None) -> Form:
    """The form of a file's samples, of a kind that is given or guessed; texts lack a vocabulary."""
    if samples.dtype.kind == "U":
        if kind not in (None, "words", "letters") or samples.ndim != 1:
            raise ValueError(
                f"{name} holds texts of shape {samples.shape}; it must be one text for each event,"
                f" of kind words or letters, not {kind or 'a table'}"
            )
        if kind is None and _are_numbers(samples):
            raise ValueError(
                f"{name} holds numbers as texts, such as {str(samples[0])!r}; give numbers"
                f" (array.astype(float)), or data.kinds={{{name}: words}} if they are texts"
            )
        letters = kind == "letters"
        return Form("tokens", vocabulary=Vocabulary((), 0, letters=letters))
    if kind in ("words", "letters"):
        raise ValueError(f"data.kinds.{name} is {kind}, but {name} holds {samples.dtype}")
    is_asked = kind is not None
    kind = kind or _guessed(samples)
    if kind == "tokens" and samples.ndim == 2:
        return Form("tokens", num_tokens=_num_tokens(name, samples, padding), padding=padding)
    if kind == "tokens" and is_asked and not (samples.ndim == 3 and _is_one_hot(samples)):
        raise ValueError(
            f"data.kinds.{name} is tokens, but {name} of shape {samples.shape} is neither whole"
            " numbers (N, T) nor one-hot (N, T, V)"
        )
    if kind == "image":
        return _image(name, samples)
    return Form(kind)


def _are_numbers(texts: NDArray[Any]) -> bool:
    there = [text for text in texts.ravel().tolist() if text]
    try:
        return bool(there) and all(float(text) is not None for text in there)
    except ValueError:
        return False


def _num_tokens(name: str, samples: NDArray[Any], padding: int | None) -> int:
    """Size of the vocabulary of token numbers, shape (N, T)."""
    there = samples[np.isfinite(samples)] if samples.dtype.kind == "f" else samples
    if padding is not None:
        there = there[there != padding]
    num = int(there.max(initial=0)) + 1
    if num > LARGEST_VOCABULARY:
        raise ValueError(
            f"{name} has the token {num - 1}: a vocabulary of more than {LARGEST_VOCABULARY} tokens"
            " does not fit; number those that occur from 0 (np.unique(..., return_inverse=True)),"
            " or name the padding, data.padding=NUMBER"
        )
    return num


def _guessed(samples: NDArray[Any]) -> str:
    if samples.ndim == 4:
        return "image"
    if samples.ndim == 3 and _is_one_hot(samples):
        return "tokens"
    if samples.ndim == 3 and min(samples.shape[1:]) >= MIN_IMAGE_SIDE:
        return "image"
    return "vector"


def _is_one_hot(samples: NDArray[Any]) -> bool:
    found = False
    for rows in row_chunks(samples):
        part = np.asarray(samples[rows])
        there = part[~np.isnan(part.reshape(len(part), -1)).any(axis=1)]
        if not np.isin(there, (0, 1)).all() or (there.sum(axis=-1) > 1).any():
            return False
        found |= bool(there.any())
    return found


def _image(name: str, samples: NDArray[Any]) -> Form:
    if samples.ndim not in (3, 4):
        raise ValueError(
            f"data.kinds.{name} is image, but {name} has the shape {samples.shape}; images are"
            " (N, channels, height, width), (N, height, width, channels) or (N, height, width)"
        )
    form = Form("image")
    if samples.ndim == 4 and _has_channels_last(samples.shape[1:]):
        shape = samples.shape[1:]
        inform(f"{name} of shape {shape}: taken for images with their channels last")
        form = replace(form, channels_last=True)
    low, high = value_range(samples)
    if low >= 0 and (LEAST_BYTES <= high <= BYTE or (samples.dtype == np.uint8 and high > 1)):
        inform(f"{name} holds bytes: divided by 255, so that grey values lie in [0, 1]")
        form = replace(form, unit=BYTE)
    elif high > 1 or low < -1:
        inform(
            f"{name} has pixel values from {low:g} to {high:g}, taken as they are;"
            f" data.standardise=[{name}] scales them"
        )
    return form


def _has_channels_last(shape: Sequence[int]) -> bool:
    """Whether the last axis is one of channels: 1, 3 or 4, or fewer than height and width."""
    first, second, last = shape
    if first in CHANNELS:
        return False
    return last in CHANNELS or (last < min(first, second) and 2 * second > first)


def value_range(samples: NDArray[Any]) -> tuple[float, float]:
    """The least and the largest value, but for NaN."""
    low, high = np.inf, -np.inf
    for rows in row_chunks(samples):
        part = np.asarray(samples[rows])
        there = part[~np.isnan(part)]
        if there.size:
            low, high = min(low, float(there.min())), max(high, float(there.max()))
    return low, high
