"""Glyphs of a font and their Unicode names: images with captions that need no download."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mixvae.data.checks import check_count
from mixvae.data.modalities.alignment import Aligned
from mixvae.data.modalities.event_labels import EventLabels
from mixvae.data.modalities.multimodal_arrays import AbstractArraysDataModule
from mixvae.spacing import spaced

LEAST_MEMBERS = 40
"""Scripts with fewer glyphs are no class."""


class GlyphsDataModule(AbstractArraysDataModule):
    """Characters in two modalities: `image`, the glyph, and `name`, such as GREEK SMALL LETTER MU.

    Classes are scripts, the first word of a name, where a script has 40 glyphs or more. The font is
    DejaVu Sans, which comes with matplotlib: 5,810 glyphs with names.

    Args:
        size: Height and width of the images, in pixels, at least 8.
        unit: `letters` or `words`, the tokens of names.
        max_glyphs: Number of glyphs, spread over the font; None: all.
    """

    name = "glyphs"

    def __init__(
        self,
        *,
        size: int = 28,
        unit: str = "letters",
        max_glyphs: int | None = None,
        **shared: Any,
    ) -> None:
        kinds = {"image": "image", "name": unit} | (shared.pop("kinds", None) or {})
        super().__init__({"image": "the font", "name": "Unicode"}, kinds=kinds, **shared)
        check_count("size", size)
        if size < 8:
            raise ValueError(f"data.size is {size}; glyphs need at least 8 pixels")
        if max_glyphs is not None:
            check_count("max_glyphs", max_glyphs)
        self.size, self.unit, self.max_glyphs = size, unit, max_glyphs
        self._names: list[str] = []

    def read_arrays(self) -> Aligned:
        """Draw the glyphs."""
        found = named_characters()
        codes = [found[place] for place in spaced(len(found), self.max_glyphs)]
        self._names = [unicodedata.name(chr(code)) for code in codes]
        return Aligned({"image": draw_glyphs(codes, self.size), "name": np.array(self._names)})

    def read_labels(self, num_events: int, ids: tuple[str, ...] | None) -> EventLabels:
        """Take the scripts as classes."""
        scripts = [name.split()[0] for name in self._names]
        counts = Counter(scripts)
        known = sorted(script for script, count in counts.items() if count >= LEAST_MEMBERS)
        number = {script: place for place, script in enumerate(known)}
        label = np.array([number.get(script, -1) for script in scripts], dtype=np.int64)
        return EventLabels(label, tuple(known), EventLabels.none(num_events).tags)


def font_path() -> Path:
    """The file of DejaVu Sans that comes with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def named_characters() -> list[int]:
    """Code points of the font that have a Unicode name, in order."""
    from matplotlib.ft2font import FT2Font

    codes = FT2Font(str(font_path())).get_charmap()
    return sorted(code for code in codes if unicodedata.name(chr(code), ""))


def draw_glyphs(codes: list[int], size: int) -> np.ndarray:
    """Draw characters, shape (N, 1, size, size), uint8, 255 for ink; each in the middle."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(
        str(font_path()), round(0.7 * size), layout_engine=ImageFont.Layout.BASIC
    )
    images = np.zeros((len(codes), 1, size, size), dtype=np.uint8)
    for place, code in enumerate(codes):
        canvas = Image.new("L", (size, size))
        # Basic layout draws each character by itself, whatever libraries PIL was built with.
        draw = ImageDraw.Draw(canvas)
        draw.text((size / 2, size / 2), chr(code), fill=255, font=font, anchor="mm")
        images[place, 0] = np.asarray(canvas)
    return images
