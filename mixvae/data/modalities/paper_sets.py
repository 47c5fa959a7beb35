"""The base of papers' data sets: files of a fixed layout with a split and tags, or a stand-in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mixvae.contracts import UNKNOWN_LABEL
from mixvae.data.base import SPLITS, Split
from mixvae.data.checks import check_count
from mixvae.data.modalities.alignment import Aligned
from mixvae.data.modalities.event_labels import EventLabels
from mixvae.data.modalities.multimodal_arrays import AbstractArraysDataModule
from mixvae.data.modalities.polymnist_views import read_picture
from mixvae.messages import inform
from mixvae.spacing import spaced

STAND_IN_EVENTS = 1200
SIDES = (8, 512)


class PaperSet(NamedTuple):
    """Events in files' order.

    Attributes:
        arrays: Array of each modality, by name, N rows.
        tags: Labels beside each other, shape (N, T), 0 or 1.
        part: Split of each event, shape (N,): 0 trains, 1 validates, 2 tests.
    """

    arrays: Mapping[str, np.ndarray]
    tags: np.ndarray
    part: np.ndarray


class AbstractPaperDataModule(AbstractArraysDataModule):
    """A paper's data set below `path`, with its own split and several tags for each event.

    Args:
        path: Folder of the files; None makes a stand-in of 1,200 events, which runs anywhere.
        size: Height and width of images, pixels, from 8 to 512.
        max_events: Largest number of events, spread over the files, which all fit into memory;
            None: all.
        **shared: See `AbstractArraysDataModule`; the fractions are unused where files have a split.
    """

    modalities: ClassVar[Mapping[str, str]] = {}
    """Kinds of the modalities by name."""
    tag_names: ClassVar[Sequence[str]] = ()

    def __init__(
        self,
        *,
        path: str | None = None,
        size: int = 64,
        max_events: int | None = None,
        **shared: Any,
    ) -> None:
        kinds = {**self.modalities, **(shared.pop("kinds", None) or {})}
        super().__init__(
            dict.fromkeys(self.modalities, path or "the stand-in"), kinds=kinds, **shared
        )
        check_count("size", size)
        if not SIDES[0] <= size <= SIDES[1]:
            raise ValueError(f"data.size is {size}; it must lie between 8 and 512 pixels")
        if max_events is not None:
            check_count("max_events", max_events)
        if path is not None and not Path(path).expanduser().is_dir():
            raise FileNotFoundError(
                f"data.path: the folder {path} is missing; leave it out for a stand-in"
            )
        self.path, self.size, self.max_events = path, size, max_events
        self._tags = np.empty((0, 0), dtype=np.float32)
        self._part = np.empty(0, dtype=np.int64)

    @abstractmethod
    def read_files(self, folder: Path) -> PaperSet:
        """Read the events of the files."""

    @abstractmethod
    def stand_in(self, tags: np.ndarray) -> Mapping[str, np.ndarray]:
        """Modalities that show tags (N, T), of the shapes that `read_files` gives."""

    def read_arrays(self) -> Aligned:
        """Read the files, or make a stand-in."""
        if self.path is None:
            inform(f"data.path is not set: simulated events take the place of {self.name}")
            found = self._stand_in()
        else:
            found = self.read_files(Path(self.path).expanduser())
        self._tags, self._part = found.tags.astype(np.float32), found.part
        return Aligned(found.arrays)

    def read_labels(self, num_events: int, ids: tuple[str, ...] | None) -> EventLabels:
        """The tags."""
        return EventLabels(np.full(num_events, UNKNOWN_LABEL, dtype=np.int64), (), self._tags)

    def split(self, labels: EventLabels) -> dict[Split, np.ndarray]:
        """The split of the files."""
        parts = {name: np.flatnonzero(self._part == number) for number, name in enumerate(SPLITS)}
        for name, rows in parts.items():
            if len(rows) == 0:
                raise ValueError(f"data.path={self.path} has no event in the split {name}")
        return parts

    def spread(self, rows: np.ndarray) -> np.ndarray:
        """At most `max_events` of some rows, spread evenly, before their files are read."""
        return rows[spaced(len(rows), self.max_events)]

    def held_out(self, groups: np.ndarray, shares: Sequence[float]) -> np.ndarray:
        """Split of rows, whole groups at once.

        Args:
            groups: Group of each row, such as the subject, shape (N,).
            shares: Shares of the groups that validate and test.
        """
        names, number = np.unique(groups, return_inverse=True)
        order = np.random.default_rng([self.split_seed, 1]).permutation(len(names))
        part = np.zeros(len(names), dtype=np.int64)
        start = 0
        for which, share in enumerate(shares, 1):
            count = max(1, round(share * len(names))) if share else 0
            part[order[start : start + count]] = which
            start += count
        return part[number]

    def _stand_in(self) -> PaperSet:
        random = np.random.default_rng(0)
        count = min(self.max_events or STAND_IN_EVENTS, STAND_IN_EVENTS)
        tags = (random.random((count, len(self.tag_names))) < 0.3).astype(np.float32)
        part = np.repeat([0, 1, 2], [count - 2 * (count // 6), count // 6, count // 6])
        return PaperSet(self.stand_in(tags), tags, part)


def needed(folder: Path, *names: str) -> Path:
    """The first file of these names that is there; raise an error that names it and the layout."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(
        f"there is no {' or '.join(names)} in {folder}, which data.path names; it holds"
        f" {', '.join(sorted(path.name for path in folder.iterdir())[:8]) or 'nothing'}"
    )


def read_table(path: Path, columns: Sequence[str]) -> Any:
    """Read a .csv (or .csv.gz) file as a data frame; refuse one without these columns."""
    import pandas

    table = pandas.read_csv(path, low_memory=False)
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {', '.join(table)[:200]}")
    return table


def read_square(
    file: Path, side: int, crop: int | None = None, *, grey: bool = False
) -> np.ndarray:
    """Read the middle square of a picture, resized to (C, side, side), uint8.

    Args:
        crop: Side of the square in pixels; None: the shorter side.
        grey: Whether to read one channel, its histogram equalised.
    """
    from PIL import Image, ImageOps

    picture = Image.fromarray(read_picture(file))
    width, height = picture.size
    cut = min(crop or width, width, height)
    left, top = (width - cut) // 2, (height - cut) // 2
    square = picture.crop((left, top, left + cut, top + cut))
    square = square.resize((side, side), Image.Resampling.BICUBIC)
    if grey:
        return np.asarray(ImageOps.equalize(square.convert("L")))[None]
    return np.asarray(square).transpose(2, 0, 1)


def drawn_tags(tags: np.ndarray, side: int, channels: int, seed: int) -> np.ndarray:
    """Images that show tags: each tag is a soft spot at a place and of a colour of its own.

    Args:
        tags: Shape (N, T).
        seed: Of the places and colours, which differ between modalities.

    Returns:
        Shape (N, channels, side, side), uint8, with noise.
    """
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, side)], indexing="ij"))
    places = random.uniform(0.15, 0.85, (tags.shape[1], 2, 1, 1))
    spots = np.exp(-((grid - places) ** 2).sum(axis=1) / (2 * 0.08**2))
    colours = random.uniform(-1, 1, (tags.shape[1], channels))
    images = 0.5 + 0.45 * np.einsum("nt,tc,thw->nchw", tags, colours, spots)
    images += random.normal(0, 0.05, images.shape)
    return (255 * np.clip(images, 0, 1)).round().astype(np.uint8)
