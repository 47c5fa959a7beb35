"""MIMIC-CXR: frontal and lateral radiographs of one study."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mixvae.data.modalities.paper_sets import (
    AbstractPaperDataModule,
    PaperSet,
    drawn_tags,
    needed,
    read_square,
    read_table,
)

VIEWS = {"frontal": ("AP", "PA"), "lateral": ("LATERAL", "LL")}
FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum"),
    *("Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other"),
    *("Pneumonia", "Pneumothorax", "Support Devices"),
)
IDS = ("subject_id", "study_id")


class MimicCXRDataModule(AbstractPaperDataModule):
    """Each `frontal` radiograph of a study with each `lateral` one; tags are the 14 findings.

    `path` is the folder of MIMIC-CXR-JPG 2.0.0 (credentialed access, PhysioNet):
    `mimic-cxr-2.0.0-metadata.csv.gz`, `mimic-cxr-2.0.0-chexpert.csv.gz` (both also unpacked) and
    `files/p10/p10000032/s50414267/<dicom_id>.jpg`. Subjects are shared out, so that all studies of
    one are in the same split. A finding that is missing or uncertain (-1) counts as absent.

    Args:
        size: Height and width, pixels. At 224 a pair takes 100 kB of memory.

    Source:
        mmvmvae-mimic (MMVM's code): the middle square, 224 pixels, histogram equalised, grey;
        subjects 80 / 10 / 10.
    """

    name = "mimic_cxr"
    modalities: ClassVar[Mapping[str, str]] = {"frontal": "image", "lateral": "image"}
    tag_names = FINDINGS

    def __init__(self, *, size: int = 224, test_fraction: float = 0.1, **shared: Any) -> None:
        super().__init__(size=size, test_fraction=test_fraction, **shared)

    def read_files(self, folder: Path) -> PaperSet:
        """Read the tables, and the radiographs that they pair."""
        stem = "mimic-cxr-2.0.0-{}.csv"
        tables = {
            kind: read_table(
                needed(folder, f"{stem.format(kind)}.gz", stem.format(kind)), [*IDS, *columns]
            )
            for kind, columns in {
                "metadata": ("dicom_id", "ViewPosition"),
                "chexpert": FINDINGS,
            }.items()
        }
        images = needed(folder, "files")
        pairs = _pairs(tables["metadata"])
        findings = tables["chexpert"].drop_duplicates(list(IDS)).set_index(list(IDS))[[*FINDINGS]]
        pairs = [pair for pair in pairs if pair[:2] in findings.index]
        if not pairs:
            raise ValueError(
                f"{folder}: no study has a frontal (AP, PA) and a lateral (LATERAL, LL) radiograph"
                " and findings"
            )
        pairs = [pairs[n] for n in self.spread(np.arange(len(pairs)))]
        tags = (findings.loc[[pair[:2] for pair in pairs]].to_numpy(float) == 1).astype(np.float32)
        part = self.held_out(
            np.array([pair[0] for pair in pairs]), [self.val_fraction, self.test_fraction]
        )
        arrays = {
            view: np.stack([self._radiograph(images, pair, place) for pair in pairs])
            for place, view in enumerate(VIEWS, 2)
        }
        return PaperSet(arrays, tags, part)

    def _radiograph(self, images: Path, pair: tuple[int, int, str, str], place: int) -> np.ndarray:
        subject, study = pair[:2]
        folder = images / f"p{str(subject)[:2]}" / f"p{subject}" / f"s{study}"
        return read_square(folder / f"{pair[place]}.jpg", self.size, grey=True)

    def stand_in(self, tags: np.ndarray) -> Mapping[str, np.ndarray]:
        """Spots for findings, at other places in each view."""
        return {
            view: drawn_tags(tags, self.size, 1, seed) for seed, view in enumerate(self.modalities)
        }


def _pairs(metadata: Any) -> list[tuple[int, int, str, str]]:
    """Subject, study, frontal and lateral file of every pair of views of a study, in order."""
    pairs = []
    for (subject, study), group in metadata.groupby(list(IDS), sort=True):
        names = [
            group.loc[group["ViewPosition"].isin(views), "dicom_id"].tolist()
            for views in VIEWS.values()
        ]
        pairs += [(int(subject), int(study), *both) for both in product(*names)]
    return pairs
