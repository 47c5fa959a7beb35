"""Settings out of range are refused where data are constructed: a message names key and value."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from mixvae.data import (
    CellDataModule,
    CUBDataModule,
    DigitsDataModule,
    DSpritesDataModule,
    GlyphsDataModule,
    HippocampusDataModule,
    ImageDataModule,
    MNISTDataModule,
    MultimodalDataModule,
    PolyMNISTDataModule,
    RatSimulator,
    RenderedDSpritesDataModule,
    SyntheticCellsDataModule,
)
from mixvae.data.cells.generator import generate_cells
from mixvae.data.modalities.rat_windows import Windowing

NAN = float("nan")
cells = partial(CellDataModule, seed=0)
files = partial(CellDataModule, seed=0, path="cells.h5ad")
images = partial(ImageDataModule, seed=0)
windows = partial(Windowing, num=1, sub_length=1)


def modalities(**options: Any) -> MultimodalDataModule:
    return MultimodalDataModule(**{"seed": 0, "modalities": {"a": "a.npy", "b": "b.npy"}} | options)


def rats(**options: Any) -> HippocampusDataModule:
    return HippocampusDataModule(**{"seed": 0, "rats": ["stella", "superchris"]} | options)


BAD: list[tuple[Any, dict[Any, Any], str]] = [
    (DigitsDataModule, {"seed": -1}, "seed is -1"),
    (DigitsDataModule, {"batch_size": 0}, "batch_size is 0; it must be a whole number, 1 or more"),
    (DigitsDataModule, {"eval_batch_size": 0}, "eval_batch_size is 0; it must be a whole number"),
    (DigitsDataModule, {"val_fraction": 1.0}, "val_fraction is 1.0; it must lie strictly between"),
    (MNISTDataModule, {"train_samples": 1}, "train_samples is 1"),
    (MNISTDataModule, {"timeout": 0}, "timeout is 0"),
    (images, {"path": "a", "size": [3, 4, 5]}, "size is"),
    (images, {"path": "a", "size": 32.0}, r"size is 32\.0"),
    (images, {"path": "a", "channels": "frist"}, "'frist'.*first"),
    (images, {"path": "a", "least_steps": 0}, "least_steps"),
    (images, {"path": "a", "test_labels": "b"}, "data.test_path"),
    (images, {"path": "a", "val_fraction": 0.5, "test_fraction": 0.5}, "nothing to"),
    *(
        (module, settings, message)
        for module in (DSpritesDataModule, RenderedDSpritesDataModule)
        for settings, message in (
            ({"subset": {"posX": 2}}, "subset names the unknown factor 'posX'"),
            ({"subset": {"y": []}}, "the subset leaves no image"),
            ({"subset": {"shape": [1]}}, "label_factor is shape, of which the subset keeps one v"),
            ({"test_fraction": 0}, "test_fraction is 0"),
        )
    ),
    (files, {"max_missing": 2.0}, "max_missing is 2.0"),
    (files, {"chunk_rows": 0}, "chunk_rows is 0"),
    (files, {"buffer_chunks": 0}, "buffer_chunks is 0"),
    (files, {"test_fraction": 0.0}, "test_fraction is 0.0"),
    (cells, {"backed": True}, "backed is true but path is null"),
    (SyntheticCellsDataModule, {"cells_seed": -1}, "seed is -1"),
    (SyntheticCellsDataModule, {"test_fraction": 1.0}, r"test_fraction is 1\.0"),
    (SyntheticCellsDataModule, {"counts_layer": "raw"}, "counts_layer is 'raw'; it must be counts"),
    (SyntheticCellsDataModule, {"target_sum": 0}, "target_sum is 0"),
    (generate_cells, {"num_cells": 0}, "num_cells is 0"),
    (generate_cells, {"num_types": 1.5}, "num_types is 1.5"),
    (generate_cells, {"num_genes": 100}, "num_genes is 100, too few for the markers of 10 types"),
    (generate_cells, {"num_cells": 12}, "num_cells is 12, too few for 10 types"),
    (generate_cells, {"dropout": 1.0}, "dropout is 1.0"),
    (generate_cells, {"dispersion": 0.0}, "dispersion is 0.0"),
    (generate_cells, {"depth": NAN}, "depth is nan"),
    (generate_cells, {"size_ratio": 0.5}, "size_ratio is 0.5"),
    (generate_cells, {"marker_strength": -1.0}, "marker_strength is -1.0"),
    (generate_cells, {"seed": -1}, "seed is -1"),
    (RatSimulator, {"seed": -1}, "seed is -1"),
    (RatSimulator, {"tuning": -0.1}, "simulator.tuning is -0.1; it must be a number, 0 or more"),
    (RatSimulator, {"theta": NAN}, "simulator.theta is nan"),
    (RatSimulator, {"gain": "much"}, "simulator.gain is 'much'"),
    (RatSimulator, {"num_trials": 0}, "simulator.num_trials is 0"),
    (RatSimulator, {"num_bins": 0}, "simulator.num_bins is 0"),
    (RatSimulator, {"rate": 0.0}, "simulator.rate"),
    (RatSimulator, {"frequency": -1.0}, "simulator.frequency"),
    (RatSimulator, {"walk": -0.1}, "simulator.walk"),
    (RatSimulator, {"num_neurons": [1, 2]}, "simulator.num_neurons"),
    (windows, {"length": 25, "num": 17, "sub_length": 10}, "num_subwindows is 17, .* only 16"),
    (windows, {"length": 5, "sub_length": 6}, "subwindow_length is 6, longer than the window of 5"),
    (windows, {"length": 25, "num": 0}, "num_subwindows is 0"),
    (windows, {"length": 25, "sub_length": 0}, "subwindow_length is 0"),
    (windows, {"length": 0}, "window_length is 0"),
    (rats, {"rats": ["stela"]}, "rats names the unknown 'stela'; did you mean 'stella'"),
    (rats, {"rats": ["felix"]}, "rats names the unknown 'felix'; choose one of barat, buch"),
    (rats, {"rats": ["mitt", "Mitt"]}, "rats names 'mitt' twice"),
    (rats, {"rats": []}, "rats is empty"),
    (rats, {"odours": ["A", "F"]}, "odours names the unknown 'F'; choose one of A, B, C, D, E"),
    (rats, {"window_starts": {"stella": 225}}, "no first bin for the rat 'superchris'"),
    (rats, {"window_starts": {"stella": -1, "superchris": 0}}, "window_starts.stella is -1"),
    (rats, {"split": "papers"}, "split is 'papers'; it must be trial or paper"),
    (rats, {"missing_fraction": 1.0}, "missing_fraction is 1.0"),
    (modalities, {"modalities": {"a/b": "a.npy"}}, "has the name 'a/b'"),
    (modalities, {"modalities": {"joint": "a.npy"}}, "has the name 'joint', which"),
    (modalities, {"modalities": {"a": "a.npy", True: "b.npy"}}, "has the name True"),
    (modalities, {"modalities": {"a": "a.npy", 1e3: "b.npy"}}, "has the name 1000.0"),
    (modalities, {"standardise": ["a", "d"]}, "names 'd', which is not one of the modalities a, b"),
    (modalities, {"class_names": ["x", "x"]}, "class_names names a class twice"),
    (modalities, {"missing_fraction": -0.5}, "missing_fraction is -0.5"),
    (modalities, {"kinds": {"c": "image"}}, "data.kinds.c is not a modality"),
    (modalities, {"kinds": {"b": "picture"}}, "data.kinds.b is 'picture'"),
    (modalities, {"map_above": -1}, "map_above is -1"),
    (GlyphsDataModule, {"size": 4}, "at least 8 pixels"),
    (GlyphsDataModule, {"max_glyphs": 0}, "max_glyphs is 0"),
    (PolyMNISTDataModule, {"digit_side": 29}, "data.digit_side is 29; it must be 4 to 28 pixels"),
    (PolyMNISTDataModule, {"num_views": 1}, "data.num_views is 1"),
    (PolyMNISTDataModule, {"backgrounds": ["a.png"]}, "data.backgrounds names 1 pictures for 3 vi"),
    (CUBDataModule, {"size": 4}, "data.size is 4; it must lie between 8 and 512"),
    (CUBDataModule, {"max_events": 0}, "max_events is 0"),
    (CUBDataModule, {"path": "nowhere"}, "data.path: the folder nowhere is missing"),
]


@pytest.mark.parametrize(("make", "settings", "message"), BAD)
def test_a_setting_out_of_range_is_refused_at_construction(make, settings, message):
    seeded = {} if "seed" in settings or not hasattr(make, "setup") else {"seed": 0}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(**seeded, **settings)
