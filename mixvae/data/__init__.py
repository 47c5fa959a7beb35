"""LightningDataModules: each yields `contracts.Batch` and knows its `contracts.DataSpec`.

Names are imported on first use, so that a run on one data set does not import the others' packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixvae.data.cells.datamodule import CellDataModule as CellDataModule
    from mixvae.data.cells.synthetic import SyntheticCellsDataModule as SyntheticCellsDataModule
    from mixvae.data.fetch import FetchError as FetchError
    from mixvae.data.images.datamodule import ImageDataModule as ImageDataModule
    from mixvae.data.images.digits import DigitsDataModule as DigitsDataModule
    from mixvae.data.images.dsprites_file import DSpritesDataModule as DSpritesDataModule
    from mixvae.data.images.dsprites_rendered import (
        RenderedDSpritesDataModule as RenderedDSpritesDataModule,
    )
    from mixvae.data.images.mnist import MNISTDataModule as MNISTDataModule
    from mixvae.data.modalities.celeba import CelebADataModule as CelebADataModule
    from mixvae.data.modalities.cite import CiteDataModule as CiteDataModule
    from mixvae.data.modalities.cub import CUBDataModule as CUBDataModule
    from mixvae.data.modalities.datamodule import MultimodalDataModule as MultimodalDataModule
    from mixvae.data.modalities.glyphs import GlyphsDataModule as GlyphsDataModule
    from mixvae.data.modalities.hippocampus import HippocampusDataModule as HippocampusDataModule
    from mixvae.data.modalities.mimic_cxr import MimicCXRDataModule as MimicCXRDataModule
    from mixvae.data.modalities.polymnist import PolyMNISTDataModule as PolyMNISTDataModule
    from mixvae.data.modalities.rat_simulator import RatSimulator as RatSimulator

_HOME = {
    "CUBDataModule": "modalities.cub",
    "CelebADataModule": "modalities.celeba",
    "CellDataModule": "cells.datamodule",
    "CiteDataModule": "modalities.cite",
    "DSpritesDataModule": "images.dsprites_file",
    "DigitsDataModule": "images.digits",
    "FetchError": "fetch",
    "GlyphsDataModule": "modalities.glyphs",
    "MimicCXRDataModule": "modalities.mimic_cxr",
    "HippocampusDataModule": "modalities.hippocampus",
    "ImageDataModule": "images.datamodule",
    "MNISTDataModule": "images.mnist",
    "MultimodalDataModule": "modalities.datamodule",
    "PolyMNISTDataModule": "modalities.polymnist",
    "RatSimulator": "modalities.rat_simulator",
    "RenderedDSpritesDataModule": "images.dsprites_rendered",
    "SyntheticCellsDataModule": "cells.synthetic",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
