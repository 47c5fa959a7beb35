"""CUB: photographs of birds, and captions by people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from mixvae.data.modalities.paper_sets import (
    AbstractPaperDataModule,
    PaperSet,
    drawn_tags,
    needed,
    read_square,
)

NUM_ATTRIBUTES, FIRST_COLOUR, LAST_COLOUR = 312, 248, 263
COLOURS = {
    "blue2red": [0, 2, 3, 4, 8, 9, 13],
    "brown": [1],
    "grey": [5],
    "yellow": [6, 7, 10, 14],
    "black": [11],
    "white": [12],
}
MAX_WORDS = 31


class CUBDataModule(AbstractPaperDataModule):
    """Birds (`image`) and a caption each (`caption`, words); tags are six primary colours.

    `path` holds `idx2name.txt` (a number from 1 and `folder/name.jpg`), `images/`,
    `captions/folder/name.txt` (a caption in each line; each is an event of its own),
    `train_idx.txt`, `test_idx.txt` (numbers from 0) and `labels.txt` (312 attributes of 0 and 1 in
    each line). Training birds are shared out: `val_fraction` of them validate.

    Args:
        **shared: See `AbstractPaperDataModule`. A caption without words is a missing one.

    Source:
        mmvmvae (MMVM's code): whole images resized to 64; the first 31 words. It keeps words seen
        more than three times; here the vocabulary holds the 5,000 most frequent. It validates on
        the test birds.
    """

    name = "cub"
    has_test_set = True
    modalities: ClassVar[Mapping[str, str]] = {"image": "image", "caption": "words"}
    tag_names = tuple(COLOURS)

    def read_files(self, folder: Path) -> PaperSet:
        """Read the lists, and the images and captions that they name."""
        names = _names(needed(folder, "idx2name.txt"))
        train, test = (_numbers(needed(folder, f"{part}_idx.txt")) for part in ("train", "test"))
        labels = _labels(needed(folder, "labels.txt"), len(names))
        images, captions = needed(folder, "images"), needed(folder, "captions")
        part = np.full(len(names), -1, dtype=np.int64)
        for split, members in (("train", train), ("test", test)):
            if members and max(members) >= len(names):
                raise ValueError(
                    f"{folder}/{split}_idx.txt names bird {max(members)}, counted from 0;"
                    f" idx2name.txt has {len(names)}"
                )
        part[train] = self.held_out(np.array(train), [self.val_fraction])
        part[test] = 2
        texts: list[str] = []
        birds: list[int] = []
        for bird in np.flatnonzero(part >= 0).tolist():
            file = needed(captions, f"{names[bird].removesuffix('.jpg')}.txt")
            lines = [line.strip() for line in file.read_text(errors="replace").split("\n")]
            texts += [_shortened(line) for line in lines if line]
            birds += [bird] * sum(map(bool, lines))
        rows = self.spread(np.arange(len(texts)))
        chosen = np.array(birds, dtype=np.int64)[rows]
        pictures = {
            bird: read_square(images / names[bird], self.size)
            for bird in np.unique(chosen).tolist()
        }
        arrays = {
            "image": np.stack([pictures[bird] for bird in chosen.tolist()]),
            "caption": np.array(texts, dtype=str)[rows],
        }
        return PaperSet(arrays, colours(labels)[chosen], part[chosen])

    def stand_in(self, tags: np.ndarray) -> Mapping[str, np.ndarray]:
        """Spots for colours, and a sentence that names them."""
        words = list(COLOURS)
        texts = [
            f"this bird has {' and '.join(w for w, is_on in zip(words, row, strict=True) if is_on)}"
            " feathers"
            for row in tags
        ]
        return {"image": drawn_tags(tags, self.size, 3, seed=1), "caption": np.array(texts)}


def colours(attributes: np.ndarray) -> np.ndarray:
    """Six tags from the 15 primary colours among 312 attributes, shape (N, 6)."""
    primary = attributes[:, FIRST_COLOUR:LAST_COLOUR]
    return np.stack([primary[:, group].max(axis=1) for group in COLOURS.values()], axis=1)


def _shortened(caption: str) -> str:
    """The first words of a caption; empty, which is missing, where it has none."""
    return " ".join(caption.split()[:MAX_WORDS]) if any(map(str.isalnum, caption)) else ""


def _names(path: Path) -> list[str]:
    """Files of images in the order of their numbers, which count from 1."""
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    for place, line in enumerate(lines, 1):
        if len(line) != 2 or line[0] != str(place):
            raise ValueError(f"{path}: line {place} is {' '.join(line)!r}, not `{place} name.jpg`")
    return [name for _, name in lines]


def _numbers(path: Path) -> list[int]:
    lines = path.read_text().split()
    wrong = [line for line in lines if not line.isdigit()]
    if wrong:
        raise ValueError(f"{path} holds {wrong[0]!r}; it must hold numbers of birds, from 0")
    return [int(line) for line in lines]


def _labels(path: Path, count: int) -> np.ndarray:
    """Attributes of all birds, shape (count, 312)."""
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    if len(rows) != count or any(len(row) != NUM_ATTRIBUTES for row in rows):
        raise ValueError(
            f"{path} has {len(rows)} lines, of {len(rows[0]) if rows else 0} numbers first; it must"
            f" have {count}, one for each bird of idx2name.txt, of {NUM_ATTRIBUTES} attributes"
        )
    return np.array(rows, dtype=np.float32)
