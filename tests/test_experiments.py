"""Every file of conf/experiment runs: composed, trained, tested, recorded; shrunk, not faked."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from experiments.bench.footprint import SHORT_SCHEDULES
from mixvae.train import main

EXPERIMENTS = sorted(
    path.stem for path in (Path(__file__).parents[1] / "conf" / "experiment").glob("*.yaml")
)
# Of several modalities; they run in tests/test_multimodal_experiments.py.
MULTIMODAL = {"hippocampus_mmvm", "multimodal_mmvm"}
# Without categories; they run in tests/test_augmenter_experiments.py.
AUGMENTERS = {"cells_augmenter", "digits_augmenter"}
SHRUNK = (
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=3",
    "trainer.limit_test_batches=1",
    "num_threads=1",
    "+callbacks.figures.max_states=1",  # each is a figure
)

# Of one agent.
ONE_AGENT = (*SHORT_SCHEDULES, "beta_vae", "gmvae", "imsat", "info_gan", "mix_vae")

SMALL_DATA = {
    "mnist": ("data.checksum=false",),
    "dsprites": (
        "data=dsprites_rendered",
        "data.subset={shape: 1, scale: [5], orientation: 20, x: 8, y: 8}",  # 96 images
        "data.batch_size=20",
    ),
}

# Of one experiment, where its own size is what it is for.
SMALL_CELLS = {
    "cells_synthetic_cpl_paper": (
        "data.num_cells=900",
        "data.num_genes=300",
        "data.num_types=6",
        "data.val_fraction=0.2",
        "data.test_fraction=0.2",
        "data.batch_size=150",
    ),
}

# Of those that prune, one round of one epoch fits into two.
ONE_ROUND = ("callbacks.pruning.round_epochs=1", "callbacks.pruning.max_rounds=1")


# What the fast tests leave out: methods that they run on the digits, and cells.
LATER = ("mnist_", "dsprites_", "cells_")
FIRST = ("mnist_cpl",)
CASES = [
    pytest.param(
        name, marks=[pytest.mark.slow] if name.startswith(LATER) and name not in FIRST else []
    )
    for name in sorted(set(EXPERIMENTS) - MULTIMODAL - AUGMENTERS)
]


def model_overrides(experiment: str) -> tuple[str, ...]:
    """What shrinks an experiment's model."""
    method = experiment.partition("_")[2].removesuffix("_paper")
    if method in ONE_AGENT:
        return SHORT_SCHEDULES.get(method, ())
    return ("model.num_agents=2",)


def prunes(experiment: str) -> bool:
    folder = Path(__file__).parents[1] / "conf" / "experiment"
    return "override /callbacks: pruning" in (folder / f"{experiment}.yaml").read_text()


@pytest.fixture(scope="module")
def small_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with 600 + 100 images in MNIST's layout: noise, with labels."""
    folder = tmp_path_factory.mktemp("data") / "MNIST" / "raw"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split, size in (("train", 600), ("t10k", 100)):
        for kind, shape in (("images-idx3", (size, 28, 28)), ("labels-idx1", (size,))):
            array = generator.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8)
            header = struct.pack(f">I{array.ndim}I", 0x0800 | array.ndim, *shape)
            (folder / f"{split}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder.parents[1]


@pytest.mark.parametrize("experiment", CASES)
def test_experiment_runs_to_a_finished_run_folder(
    experiment: str, tmp_path: Path, small_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIXVAE_DATA_DIR", str(small_mnist))
    own_files = SMALL_DATA.get(experiment.split("_")[0], ()) + SMALL_CELLS.get(experiment, ())
    rounds = ONE_ROUND if prunes(experiment) else ()
    shrunk = [*SHRUNK, *model_overrides(experiment), *own_files, *rounds]
    status = main([f"+experiment={experiment}", *shrunk, "run_dir=run"])

    assert status == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["name"] == experiment
    assert 0 <= summary["test/accuracy"] <= 1
    figures = ["learning_curves", "category_label_table"]
    if not experiment.endswith("_imsat"):  # which has no decoder
        figures.append("traversal_state0")
    if experiment.partition("_")[2].removesuffix("_paper") not in ONE_AGENT:
        figures.append("consensus_matrix")
    for name in figures:
        assert (tmp_path / "run" / "figures" / f"{name}.png").stat().st_size > 1000


def test_there_are_experiments() -> None:
    assert {"digits_cpl", "mnist_cpl", "mnist_cpl_paper"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_says_what_it_is_for(experiment: str) -> None:
    file = Path(__file__).parents[1] / "conf" / "experiment" / f"{experiment}.yaml"
    assert file.read_text().startswith("# @package _global_\n# purpose: ")
