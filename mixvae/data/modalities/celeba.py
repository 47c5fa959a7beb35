"""Bimodal CelebA: faces, and their attributes written as a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from mixvae.data.modalities.paper_sets import (
    AbstractPaperDataModule,
    PaperSet,
    drawn_tags,
    needed,
    read_square,
    read_table,
)

ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789," *\n'
FILLING = "*"
LENGTH, CROP = 256, 148
TEXTS = "list_attr_text_256_False_True_celeba.csv"
ATTRIBUTES = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose
Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee
Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard
Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair
Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie
Young
"""
NAMES = tuple(ATTRIBUTES.split())


class CelebADataModule(AbstractPaperDataModule):
    """Faces (`image`) and their attributes as letters (`text`); tags are the 40 attributes.

    `path` holds `img_align_celeba/*.jpg`, `list_eval_partition.csv`, `list_attr_celeba.csv` and
    `list_attr_text_256_False_True_celeba.csv`, each table with the column `image_id`. Without the
    last one, texts are made: the names of the attributes that are present.

    Source:
        mmvmvae (MMVM's code): the middle 148 pixels, bicubic to 64; 256 letters of an alphabet of
        41; the official partition. Letters that fill a text up (`*`) are padding here.
    """

    name = "celeba"
    has_test_set = True
    modalities: ClassVar[Mapping[str, str]] = {"image": "image", "text": "tokens"}
    tag_names = NAMES

    def read_files(self, folder: Path) -> PaperSet:
        """Read the tables, and the images that they name."""
        parts = read_table(needed(folder, "list_eval_partition.csv"), ["image_id", "partition"])
        attributes = read_table(needed(folder, "list_attr_celeba.csv"), ["image_id"])
        images = needed(folder, "img_align_celeba")
        attributes = attributes.set_index("image_id")
        rows = self.spread(np.arange(len(parts)))
        names = parts["image_id"].to_numpy()[rows]
        unknown = [name for name in names if name not in attributes.index]
        if unknown:
            raise ValueError(f"{folder}/list_attr_celeba.csv has no line for {unknown[0]}")
        tags = (attributes.loc[names].to_numpy() > 0).astype(np.float32)
        if (folder / TEXTS).is_file():
            known = read_table(folder / TEXTS, ["image_id", "text"]).set_index("image_id")["text"]
            texts = [str(known.get(name, "")) for name in names]
        else:
            texts = attribute_texts(tags, list(attributes.columns))
        pictures = [read_square(images / name, self.size, CROP) for name in names]
        arrays = {"image": np.stack(pictures), "text": letters(texts)}
        return PaperSet(arrays, tags, parts["partition"].to_numpy()[rows].astype(np.int64))

    def stand_in(self, tags: np.ndarray) -> Mapping[str, np.ndarray]:
        """Spots for attributes, and their names."""
        image = drawn_tags(tags, self.size, 3, seed=1)
        return {"image": image, "text": letters(attribute_texts(tags, NAMES))}


def attribute_texts(tags: np.ndarray, names: Sequence[str]) -> list[str]:
    """The names of the tags that an event has, such as `big lips, male`."""
    words = [name.replace("_", " ").lower() for name in names]
    return [
        ", ".join(word for word, is_on in zip(words, row, strict=True) if is_on) for row in tags
    ]


def letters(texts: list[str]) -> np.ndarray:
    """Numbers of letters in the alphabet, shape (N, 256), int16; -1 where a text is filled up.

    Capitals become small; letters outside of the alphabet are left out.
    """
    number = {letter: place for place, letter in enumerate(ALPHABET)}
    tokens = np.full((len(texts), LENGTH), -1, dtype=np.int16)
    for row, text in enumerate(texts):
        own = [number[one] for one in text.rstrip(FILLING).lower() if one in number][:LENGTH]
        tokens[row, : len(own)] = own
    return tokens
