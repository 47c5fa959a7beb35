"""Traversals of a mixture's states as pictures that a slider steps through."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mixvae.reports.record import Record

MOST_STATES = 8
COLUMNS = 5
SIDE = 72  # pixels of a category's picture on the page, about


@dataclass(frozen=True)
class Slider:
    """Pictures of all categories, one for each value of a state.

    Attributes:
        labels: Text beside the slider for each picture.
        sources: The pictures as data addresses.
    """

    title: str
    text: str
    labels: list[str]
    sources: list[str]

    @property
    def first(self) -> int:
        """The middle of the slider."""
        return len(self.sources) // 2


def traversals(record: Record) -> list[Slider]:
    """A slider for each of the first states; none without `traversals.npz`."""
    arrays = record.traversals
    if not {"pictures", "values", "categories"} <= set(arrays):
        return []
    pictures, values = arrays["pictures"], arrays["values"]
    names = ", ".join(str(k) for k in arrays["categories"].tolist())
    found = []
    for state in range(min(len(pictures), MOST_STATES)):
        count = pictures.shape[2]
        found.append(
            Slider(
                title=f"State {state}",
                text=f"Categories {names}, in rows of {COLUMNS}, decoded at values of"
                f" state {state}; the other states stay at the category's mean.",
                labels=[f"state {state} = {value:.2f}" for value in values[state].tolist()],
                sources=[_source(pictures[state, :, step]) for step in range(count)],
            )
        )
    return found


def _source(pictures: NDArray[np.uint8]) -> str:
    """Arrange pictures, shape (K, channels, height, width), in rows, as a PNG."""
    count, _, height, width = pictures.shape
    rows = math.ceil(count / COLUMNS)
    shown = pictures if pictures.shape[1] == 3 else pictures[:, :1]
    canvas = np.full((rows * (height + 1), COLUMNS * (width + 1), shown.shape[1]), 255, np.uint8)
    for number, picture in enumerate(shown):
        top, left = (number // COLUMNS) * (height + 1), (number % COLUMNS) * (width + 1)
        canvas[top : top + height, left : left + width] = np.moveaxis(picture, 0, -1)
    image: Any = Image.fromarray(canvas if shown.shape[1] == 3 else canvas[..., 0])
    factor = max(1, round(SIDE / width))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
