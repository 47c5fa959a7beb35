"""Two runs of one experiment with one seed are the same run, number for number, on one CPU."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.bench.footprint import SHORT_SCHEDULES
from mixvae.train import main

FOLDER = Path(__file__).parents[1] / "conf" / "experiment"
EXPERIMENTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SHRUNK = (
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=3",
    "num_threads=1",
    "logger=csv",
    "~callbacks.figures",
)
CELLS = ("data.num_cells=400", "data.num_genes=300", "data.num_types=4", "data.batch_size=50")
RATS = ("data.simulator.num_trials=90", "data.simulator.num_bins=300")
ARRAYS = ("data.modalities={a: a.npy, b: b.npy}", "data.labels=y.npy")
SPRITES = (
    "data=dsprites_rendered",
    "data.subset={shape: 1, scale: [5], orientation: 20, x: 8, y: 8}",
    "data.batch_size=20",
)
ONE_ROUND = (
    "callbacks.pruning.first_epochs=1",
    "callbacks.pruning.round_epochs=1",
    "callbacks.pruning.max_rounds=1",
)


def small(experiment: str) -> list[str]:
    """Overrides that make an experiment take a second or two."""
    text = (FOLDER / f"{experiment}.yaml").read_text()
    parts = {
        "/data: cells_synthetic": CELLS,
        "/data: hippocampus": RATS,
        "/data: multimodal": ARRAYS,
        "/data: mnist": ("data.checksum=false",),
        "/data: dsprites": SPRITES,
        **{f"/model: {name}": lines for name, lines in SHORT_SCHEDULES.items()},
        "/callbacks: pruning": ONE_ROUND,
    }
    own = [line for key, lines in parts.items() if f"override {key}" in text for line in lines]
    return [f"+experiment={experiment}", *SHRUNK, *own]


def write_data(folder: Path) -> None:
    """Images in MNIST's layout, and two aligned arrays with labels."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split, size in (("train", 600), ("t10k", 100)):
        for kind, shape in (("images-idx3", (size, 28, 28)), ("labels-idx1", (size,))):
            array = generator.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8)
            header = struct.pack(f">I{array.ndim}I", 0x0800 | array.ndim, *shape)
            (raw / f"{split}-{kind}-ubyte").write_bytes(header + array.tobytes())
    label = generator.integers(0, 3, 600)
    for name, size in (("a", 6), ("b", 4)):
        x = generator.normal(size=(600, size)) + 3 * generator.normal(size=(3, size))[label]
        np.save(folder / f"{name}.npy", x.astype(np.float32))
    np.save(folder / "y.npy", label)


def summary(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "summary.json").read_text())
    assert content.pop("seconds") > 0
    return content


@pytest.mark.parametrize(
    "experiment",
    [
        pytest.param(name, marks=[] if name == "digits_cpl" else [pytest.mark.slow])
        for name in EXPERIMENTS
    ],
)
def test_one_seed_is_one_run(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIXVAE_DATA_DIR", str(tmp_path))
    write_data(tmp_path)
    for name in ("one", "two"):
        assert main([*small(experiment), f"run_dir={name}"]) == 0
    one, two = summary(tmp_path / "one"), summary(tmp_path / "two")
    assert one == two
    assert one["status"] == "finished"
    numbers = [key for key in one if key.startswith("test/")]
    print(f"{experiment}: {len(numbers)} test metrics the same")
    assert (tmp_path / "one/metrics.csv").read_text() == (tmp_path / "two/metrics.csv").read_text()
    assert main([*small(experiment), "run_dir=other", "seed=1"]) == 0
    assert summary(tmp_path / "other") != {**one, "seed": 1}
