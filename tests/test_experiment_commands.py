"""Every `python -m experiments...` command of README and docs/ runs as written, made small.

So does one command of each other module that experiments/README.md names. The files that a command
names are made here. Runs are shortened as those of tests/test_pages.py, and runs that differ in
seed or in numbers alone share one training, whose folder is copied.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import shutil
import struct
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from experiments import multiruns, single_runs
from experiments.mmvm_figure2 import NARROW
from mixvae import train
from mixvae.data.modalities.cite import simulate_cite
from tests.test_pages import PAGES, ROOT, shrink

INLINE = re.compile(r"`python\s+-m\s+experiments\.([^`]*)`")
# They time and measure; test_bench.py, test_cells_memory.py and test_peers.py do so on small cases.
MEASURING = ("bench", "cells_memory", "peers")
# Of many methods, some.
FEWER = {
    "mmvm_figure2": ["--methods", "mmvm", "ae"],
    "mixture_table": ["--methods", "cpl", "joint_vae", "imsat"],
}
REPEATED = re.compile(r" --(seeds|jobs)( \d+)+")
# What decides which network is trained on which data.
CHOICES = ("+experiment", "model", "data", "networks", "augmenter", "data.batch_key", "data.layer")


def commands() -> list[str]:
    """The commands of the pages, and the first of each further module of the tables.

    Those that differ in seeds or in the number of runs at a time count as one.
    """
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for text in INLINE.findall(page.read_text()):
            found.setdefault(text.split()[0], []).append(" ".join(text.split()))
    for text in INLINE.findall((ROOT / "experiments/README.md").read_text()):
        found.setdefault(text.split()[0], [" ".join(text.split())])
    texts = [text for name in found if name not in MEASURING for text in found[name]]
    return sorted({REPEATED.sub("", text): text for text in texts}.values())


def parted(lines: Sequence[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines if not line.startswith("~"))


class Trainings:
    """Takes the place of the processes that experiments start.

    Attributes:
        runs: Folder of the trained runs.
        made: Run folder of each network and data, what CHOICES names.
        used: Run folders that were asked for.
    """

    def __init__(self, mnist_root: Path, runs: Path) -> None:
        self.mnist_root, self.runs = mnist_root, runs
        self.made: dict[tuple[object, ...], Path] = {}
        self.used: list[Path] = []

    def run(self, lines: Sequence[str], folder: Path) -> None:
        """Train, or copy the folder of a run of the same network and data."""
        said = parted(lines)
        # Data of a file are those of the command.
        kind = (*(said.get(key) for key in CHOICES), "data.path" in said and Path.cwd())
        if kind not in self.made:
            own = [line for line in lines if not line.startswith("run_dir=")]
            if said["+experiment"].startswith(("polymnist", "glyphs")):
                own += [line for line in NARROW if line not in lines]
            if said["+experiment"].startswith("polymnist"):
                few = "data.train_samples"
                own = [*(line for line in own if not line.startswith(few)), f"{few}=600"]
            own = shrink("mixvae.train", own, self.mnist_root)
            made = self.runs / str(len(self.made))
            assert train.main([*own, f"run_dir={made}"]) == 0, own
            self.made[kind] = made
        shutil.copytree(self.made[kind], folder, dirs_exist_ok=True)
        self.used.append(folder)

    def single(self, lines: Sequence[str]) -> None:
        """Instead of `single_runs.launch`."""
        self.run(lines, Path(parted(lines)["run_dir"]))

    def multirun(self, lines: Sequence[str]) -> None:
        """Instead of `multiruns.launch`."""
        folder = Path(parted(lines)["hydra.sweep.dir"])
        folder.mkdir(parents=True)
        (folder / "overrides.txt").write_text("".join(f"{line}\n" for line in lines))
        blocks = multiruns._parted([line for line in lines if not line.startswith("hydra")])
        for number, values in enumerate(product(*(values for _, values in blocks))):
            job = [f"{key}={value}" for (key, _), value in zip(blocks, values, strict=True)]
            self.run(job, folder / str(number))
            text = "".join(f"{line}\n" for line in job)
            (folder / str(number) / "overrides.txt").write_text(text)


def write_files(folder: Path) -> None:
    """The reader's files: cells with types and proteins, MNIST's test images, digits."""
    rna, protein, types = (part[:400] for part in simulate_cite(0))
    ids = [f"cell{number}" for number in range(len(rna))]
    cells = anndata.AnnData(rna, obs=pd.DataFrame({"type": pd.Categorical(types)}, index=ids))
    names = [f"CD{number}" for number in range(protein.shape[1])]
    cells.obsm["protein"] = pd.DataFrame(protein, index=ids, columns=names)
    (folder / "FOLDER").mkdir()
    cells.write_h5ad(folder / "FOLDER/cite_cbmc_8617.h5ad")
    for name in ("cite_cbmc_8617.h5ad", "cells.h5ad"):
        shutil.copy(folder / "FOLDER/cite_cbmc_8617.h5ad", folder / name)
    digits = load_digits()
    images = (digits.images[:400] * 15).astype(np.uint8)
    for name, array in (("images-idx3", images), ("labels-idx1", digits.target[:400])):
        header = struct.pack(f">I{array.ndim}I", 0x800 | array.ndim, *array.shape)
        content = header + array.astype(np.uint8).tobytes()
        (folder / f"FOLDER/t10k-{name}-ubyte").write_bytes(content)
    (folder / "DIGITS").mkdir()
    np.save(folder / "DIGITS/images.npy", images)
    np.save(folder / "DIGITS/labels.npy", digits.target[:400])


@pytest.fixture(scope="module")
def trainings(real_mnist_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    return Trainings(real_mnist_root, tmp_path_factory.mktemp("trained"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", commands())
def test_the_command_makes_its_table(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: Trainings
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    trainings.used.clear()
    monkeypatch.setenv("MIXVAE_DATA_DIR", str(trainings.mnist_root))
    monkeypatch.setattr(single_runs, "launch", trainings.single)
    monkeypatch.setattr(multiruns, "launch", trainings.multirun)
    # These runs are shorter than the settings say.
    monkeypatch.setattr(multiruns, "changed_since", lambda folder, job: [])
    find_spec = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> Any:
        """No UMAP and no SCVI, which would take a minute."""
        return None if name in ("umap", "scvi") else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    name, *words = shlex.split(command)
    words += FEWER.get(name, [])
    if "--full" in words:
        words += ["--overrides", "trainer=cpu"]  # instead of a GPU
    module = importlib.import_module(f"experiments.{name}")
    if "--results" not in words and name not in ("cells_batches", "cells_hardness"):
        words += ["--results", "results"]
    assert not module.main(words)
    assert trainings.used or name == "cells_hardness"
    if name not in ("cells_batches", "cells_hardness"):
        results = Path(words[words.index("--results") + 1])
        assert results.resolve().is_relative_to(tmp_path)
        assert [path for path in results.rglob("*") if path.suffix in (".md", ".json")]


def test_the_pages_have_commands() -> None:
    names = {command.split()[0] for command in commands()}
    assert len(commands()) >= 15
    assert {"fresh", "mixture_table", "cells_real", "hippocampus_beta_sweep"} <= names
