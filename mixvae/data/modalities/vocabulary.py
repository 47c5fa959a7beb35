"""Texts as tokens: a vocabulary of words or letters, fitted on training texts."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PADDING = -1
END, UNKNOWN = "<end>", "<unknown>"
MAX_LENGTH = 128
MAX_WORDS = 5000


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of texts, and the length of a text.

    A text is its tokens, `<end>`, and padding (-1) up to `length`; a token that training texts do
    not hold is `<unknown>`. Longer texts are cut.

    Attributes:
        tokens: Tokens by number; the first two are `<end>` and `<unknown>`.
        length: Number of tokens T of a text, with its end.
        letters: Whether tokens are letters, and not words in lower case.
        share_of_rare: Share of the words of training texts that occur once there.
    """

    tokens: tuple[str, ...]
    length: int
    letters: bool = False
    share_of_rare: float = field(default=0.0, compare=False)

    @classmethod
    def fit(cls, texts: Sequence[str], *, letters: bool = False) -> Vocabulary:
        """Take the tokens of training texts, at most 5,000, the most frequent first.

        The length is that of the longest text, at most 128.
        """
        split = [_split(text, letters) for text in texts]
        counts = Counter(token for tokens in split for token in tokens)
        if not counts:
            advice = "" if letters else "; data.kinds={NAME: letters} reads signs such as emoji"
            raise ValueError(f"the training texts hold no words{advice}")
        known = sorted(counts, key=lambda token: (-counts[token], token))[:MAX_WORDS]
        length = min(max(map(len, split)) + 1, MAX_LENGTH)
        rare = sum(count == 1 for count in counts.values()) / counts.total()
        return cls((END, UNKNOWN, *known), length, letters, 0.0 if letters else rare)

    def encode(self, name: str, texts: np.ndarray) -> np.ndarray:
        """Token numbers of texts, shape (N, T), int64, padded by -1; an empty text is all -1."""
        number = {token: place for place, token in enumerate(self.tokens)}
        encoded = np.full((len(texts), self.length), PADDING, dtype=np.int64)
        for row, text in enumerate(texts.tolist()):
            tokens = _split(text, self.letters)
            if not tokens:
                if text.strip():
                    raise ValueError(
                        f"the text {text!r} of {name} in row {row}, counted from 0, holds no"
                        " words; leave it empty where it is missing, or use"
                        f" data.kinds={{{name}: letters}}"
                    )
                continue
            found = [number.get(token, 1) for token in tokens][: self.length - 1]
            encoded[row, : len(found) + 1] = [*found, 0]
        return encoded

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Texts of token numbers, shape (N, T), up to the first `<end>` or padding."""
        texts = []
        for row in tokens.tolist():
            ended = next((place for place, token in enumerate(row) if token <= 0), len(row))
            texts.append(("" if self.letters else " ").join(self.tokens[t] for t in row[:ended]))
        return np.array(texts, dtype=str)

    def as_plain(self) -> list[Any]:
        """Plain values, as a checkpoint may hold."""
        return [list(self.tokens), self.length, self.letters]

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> Vocabulary:
        """Take back what `as_plain` gave."""
        tokens, length, letters = plain
        return cls(tuple(tokens), int(length), bool(letters))


class _Spaces(dict[int, int]):
    """For `str.translate`: blanks in place of what is no part of a word.

    Words are letters, digits, the marks that many scripts write on letters, and apostrophes.
    """

    def __missing__(self, code: int) -> int:
        sign = chr(code)
        is_part = sign.isalnum() or unicodedata.category(sign)[0] == "M" or sign in "'\u2019"
        self[code] = code if is_part else ord(" ")
        return self[code]


_spaces = _Spaces()


def _split(text: str, letters: bool) -> list[str]:
    """Tokens of a text: its letters, or its words in lower case; accents joined to letters."""
    text = unicodedata.normalize("NFC", text)
    if letters:
        return list(text.strip())
    words = (word.strip("'\u2019") for word in text.lower().translate(_spaces).split())
    return [word for word in words if word]
