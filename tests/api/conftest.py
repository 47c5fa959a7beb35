"""Small data of each family, and runs that are made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

import mixvae

SMALL = (
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "num_threads=1",
    "logger=csv",
    "report=false",
    "~callbacks.figures",
    "+callbacks.progress.kind=none",
)
MIXTURE = ("model.num_agents=2", "model.state_dim=1")
TINY = ("model.agents.encoder.hidden=[8]", "model.agents.decoder.hidden=[8]")
IMAGES = (*SMALL, *MIXTURE, *TINY, "data.least_steps=1")
CELLS = (
    *(*SMALL, *MIXTURE, "model.num_categories=3", "callbacks.merging.after_epochs=1"),
    *("~callbacks.state_analysis", "~callbacks.clusterability", "trainer.max_epochs=2"),
    *("data.batch_size=40", "model.agents.encoder.num_components=4"),
)
MODALITIES = (*SMALL, "data.batch_size=20", "model.beta=1")


def images(num: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (num, 6, 6), dtype=np.uint8), np.arange(num) % 3


def cells(num: int = 120) -> Any:
    generator = np.random.default_rng(0)
    label = np.arange(num) % 2
    counts = generator.poisson(1 + 4 * (np.arange(40) % 2 == label[:, None])).astype(np.float32)
    adata = anndata.AnnData(counts)
    adata.obs_names = [f"cell{number}" for number in range(num)]
    adata.var_names = [f"gene{number}" for number in range(40)]
    adata.obs["type"] = np.array(["a", "b"])[label]
    return adata


def modalities(num: int = 90) -> tuple[dict[str, np.ndarray], np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(num, 4)) for name in "ab"}, np.arange(num) % 3


@pytest.fixture(scope="session")
def image_run(tmp_path_factory: pytest.TempPathFactory) -> mixvae.Run:
    x, y = images()
    folder = tmp_path_factory.mktemp("images") / "run"
    return mixvae.train("images_cpl", *IMAGES, f"run_dir={folder}", data=x, labels=y)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
