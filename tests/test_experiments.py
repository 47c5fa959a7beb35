"""Every file of conf/experiment runs, shrunk, not faked; one seed is one run, to the last digit.

The second run draws no figures, which proves that figures change no number.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.bench.footprint import SHORT_SCHEDULES
from mixvae.train import main

FOLDER = Path(__file__).parents[1] / "conf" / "experiment"
EXPERIMENTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
AUGMENTERS = ("cells_augmenter", "digits_augmenter")
NEW_DATA = ("cite", "glyphs", "polymnist")
METHODS = ("mmvm", "independent", "poe", "mopoe")
STAND_INS = ("celeba", "cub", "mimic_cxr")
MULTIMODAL = (
    *("hippocampus_mmvm", "multimodal_mmvm"),
    *(f"{data}_{method}" for data in NEW_DATA for method in METHODS),
    *(f"{data}_mmvm" for data in STAND_INS),
)
ONE_AGENT = (*SHORT_SCHEDULES, "beta_vae", "gmvae", "imsat", "info_gan", "mix_vae")
# The fast tests run each method on the digits without figures. The slow ones run the others, and
# with figures and once more each method on the digits and one method on each other data set.
FAST = [name for name in EXPERIMENTS if name.startswith("digits_") and name not in AUGMENTERS]
TWICE = [name for name in EXPERIMENTS if name in FAST or name.endswith(("_cpl", "_mmvm"))]
CASES = [
    *((name, name == "digits_cpl") for name in FAST),
    *(
        pytest.param(name, name in TWICE, marks=pytest.mark.slow)
        for name in EXPERIMENTS
        if name != "digits_cpl" and (name in TWICE or name not in FAST)
    ),
]
SHRUNK = (
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=3",
    "trainer.limit_test_batches=1",
    "num_threads=1",
    "logger=csv",
)
# By the options that an experiment chooses.
SMALL = {
    "/data: mnist": ("data.checksum=false",),
    "/data: dsprites": (
        "data=dsprites_rendered",
        "data.subset={shape: 1, scale: [5], orientation: 20, x: 8, y: 8}",  # 96 images
        "data.batch_size=20",
    ),
    "/data: cells_synthetic": (
        *("data.num_cells=900", "data.num_genes=300", "data.num_types=6", "data.batch_size=150"),
        *("data.val_fraction=0.2", "data.test_fraction=0.2"),
    ),
    "/data: hippocampus": ("data.simulator.num_trials=90", "data.simulator.num_bins=300"),
    # The rats choose their beta, the others are given one.
    "/data: cite": ("data.batch_size=100", "model.beta=1"),
    "/data: glyphs": ("data.max_glyphs=200", "data.size=8", "data.batch_size=20", "model.beta=1"),
    "/data: polymnist": (
        "model.beta=1",
        *("data.train_samples=100", "data.test_samples=30", "data.batch_size=20"),
        "callbacks.evaluation.classifier=logistic",  # glyphs have the convolutional one
    ),
    **{
        f"/data: {name}": (
            *("data.max_events=120", "data.size=16", "data.batch_size=20", "model.beta=1"),
            "callbacks.evaluation.classifier=logistic",  # glyphs have the convolutional one
        )
        for name in STAND_INS
    },
    "/data: multimodal": ("data.modalities={a: a.npy, b: b.npy}", "data.labels=y.npy"),
    "/data: images": ("data.path=images.npy", "data.labels=y.npy"),
    **{f"/model: {name}": lines for name, lines in SHORT_SCHEDULES.items()},
    # One round of one epoch fits into two.
    "/callbacks: pruning": ("callbacks.pruning.round_epochs=1", "callbacks.pruning.max_rounds=1"),
}


def method_of(experiment: str) -> str:
    return experiment.partition("_")[2].removesuffix("_paper")


def text_of(experiment: str) -> str:
    """The file of an experiment and of those it builds on."""
    text = (FOLDER / f"{experiment}.yaml").read_text()
    based_on = re.findall(r"^  - ([a-z]\w*)$", text, flags=re.MULTILINE)
    return "".join([text, *map(text_of, based_on)])


def shrunk(experiment: str) -> list[str]:
    """The command line of an experiment that takes a second or two."""
    text = text_of(experiment)
    own = [line for key, lines in SMALL.items() if f"override {key}" in text for line in lines]
    if experiment not in AUGMENTERS + MULTIMODAL and method_of(experiment) not in ONE_AGENT:
        own.append("model.num_agents=2")
    return [f"+experiment={experiment}", *SHRUNK, *own]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 + 100 images in MNIST's layout, which are noise, and two aligned arrays with labels."""
    folder = tmp_path_factory.mktemp("data")
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
    np.save(folder / "images.npy", generator.integers(0, 256, (600, 8, 8), dtype=np.uint8))
    return folder


def summary(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "summary.json").read_text())
    assert content.pop("seconds") > 0
    return content


def figures_of(experiment: str) -> list[str]:
    found = ["learning_curves"]
    if experiment not in AUGMENTERS + MULTIMODAL:
        found.append("category_label_table")
        if method_of(experiment) != "imsat":  # which has no decoder
            found.append("traversal_state0")
        if method_of(experiment) not in ONE_AGENT:
            found.append("consensus_matrix")
    return found


@pytest.mark.parametrize(("experiment", "twice"), CASES)
def test_experiment_runs_to_a_finished_run_folder(
    experiment: str,
    twice: bool,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(data)
    monkeypatch.setenv("MIXVAE_DATA_DIR", str(data))
    plain = [*shrunk(experiment), "~callbacks.figures"]
    first = shrunk(experiment) if twice else plain
    if twice and experiment not in AUGMENTERS + MULTIMODAL:
        first.append("+callbacks.figures.max_states=1")  # each is a figure
    assert main([*first, f"run_dir={tmp_path / 'one'}"]) == 0
    one = summary(tmp_path / "one")
    assert one["status"] == "finished"
    assert one["name"] == experiment
    if experiment not in AUGMENTERS + MULTIMODAL:
        assert 0 <= one["test/accuracy"] <= 1
    for name in figures_of(experiment) if twice else []:
        assert (tmp_path / "one" / "figures" / f"{name}.png").stat().st_size > 1000
    if twice:
        assert main([*plain, f"run_dir={tmp_path / 'two'}"]) == 0
        assert summary(tmp_path / "two") == one
        metrics = [(tmp_path / run / "metrics.csv").read_text() for run in ("one", "two")]
        assert metrics[0] == metrics[1]


def test_every_experiment_says_what_it_is_for() -> None:
    for file in FOLDER.glob("*.yaml"):
        assert file.read_text().startswith("# @package _global_\n# purpose: "), file.name
