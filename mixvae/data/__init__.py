"""LightningDataModules: each yields `contracts.Batch` and knows its `contracts.DataSpec`.

Names are imported on first use, so that a run on one data set does not import the others' packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixvae.data.celeba import CelebADataModule as CelebADataModule
    from mixvae.data.cells import CellDataModule as CellDataModule
    from mixvae.data.cells_synthetic import SyntheticCellsDataModule as SyntheticCellsDataModule
    from mixvae.data.cite import CiteDataModule as CiteDataModule
    from mixvae.data.cub import CUBDataModule as CUBDataModule
    from mixvae.data.digits import DigitsDataModule as DigitsDataModule
    from mixvae.data.dsprites_file import DSpritesDataModule as DSpritesDataModule
    from mixvae.data.dsprites_rendered import (
        RenderedDSpritesDataModule as RenderedDSpritesDataModule,
    )
    from mixvae.data.fetch import FetchError as FetchError
    from mixvae.data.glyphs import GlyphsDataModule as GlyphsDataModule
    from mixvae.data.hippocampus import HippocampusDataModule as HippocampusDataModule
    from mixvae.data.images import ImageDataModule as ImageDataModule
    from mixvae.data.mimic_cxr import MimicCXRDataModule as MimicCXRDataModule
    from mixvae.data.mnist import MNISTDataModule as MNISTDataModule
    from mixvae.data.multimodal import MultimodalDataModule as MultimodalDataModule
    from mixvae.data.polymnist import PolyMNISTDataModule as PolyMNISTDataModule
    from mixvae.data.rat_simulator import RatSimulator as RatSimulator

_HOME = {
    "CUBDataModule": "cub",
    "CelebADataModule": "celeba",
    "CellDataModule": "cells",
    "CiteDataModule": "cite",
    "DSpritesDataModule": "dsprites_file",
    "DigitsDataModule": "digits",
    "FetchError": "fetch",
    "GlyphsDataModule": "glyphs",
    "MimicCXRDataModule": "mimic_cxr",
    "HippocampusDataModule": "hippocampus",
    "ImageDataModule": "images",
    "MNISTDataModule": "mnist",
    "MultimodalDataModule": "multimodal",
    "PolyMNISTDataModule": "polymnist",
    "RatSimulator": "rat_simulator",
    "RenderedDSpritesDataModule": "dsprites_rendered",
    "SyntheticCellsDataModule": "cells_synthetic",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
