"""Every command of the README and of docs/ runs, page by page, each in a folder, in seconds."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.bench.footprint import SHORT_SCHEDULES
from mixvae import annotate, dashboard, evaluate, impute, report, sweep, train
from mixvae.cli.config_file import load_config
from mixvae.data import __main__ as data
from tests.wandb_server import SWEEP, SweepServer, sweep_server

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
# tests/test_several_machines.py runs the commands of its page.
MACHINES = ROOT / "docs/several_machines.md"
GENERATED = set((ROOT / "docs/generated").glob("*.md"))
PAGES = [README, *sorted(set((ROOT / "docs").rglob("*.md")) - {MACHINES} - GENERATED)]
MAKES = re.compile(r"(run_dir|hydra\.sweep\.dir|out)=")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
PROGRAMS: dict[str, Callable[[Sequence[str] | None], int]] = {
    "mixvae.train": train.main,
    "mixvae.evaluate": evaluate.main,
    "mixvae.annotate": annotate.main,
    "mixvae.impute": impute.main,
    "mixvae.report": report.main,
    "mixvae.sweep": sweep.main,
    "mixvae.dashboard": dashboard.main,
    "mixvae.data": data.main,
}
DEMO = ["+experiment=digits_cpl"]
SHRUNK = ("trainer.max_epochs=2", "trainer.limit_train_batches=2", "num_threads=1")
# Runs of the README alone draw figures and log to W&B, which take most of the time of a short run.
QUIET = ("logger=csv", "callbacks.figures=null")
TINY = ("model.agents.encoder.hidden=[16]", "model.agents.decoder.hidden=[16]")
# Of those that prune, one round of one epoch fits into two.
ONE_ROUND = (
    "callbacks.pruning.first_epochs=1",
    "callbacks.pruning.round_epochs=1",
    "callbacks.pruning.max_rounds=1",
)
# Schedules that end within two epochs, and sprites that are drawn in no time.
SHORT = {
    **SHORT_SCHEDULES,
    "=glyphs_": ["data.max_glyphs=200", "data.size=8", "data.batch_size=20"],
    "=polymnist_": [
        *("data.test_samples=60", "data.batch_size=50", "callbacks.evaluation.classifier=logistic"),
    ],
    "=cite_": ["data.batch_size=200"],
    "=hippocampus_": [
        *("data.subwindow_length=5", "data.num_subwindows=5", "data.simulator.num_bins=280"),
    ],
    "dsprites": ["data.subset={orientation: 20, x: 8, y: 8}", "data_root=."],
    "cells_synthetic_cpl_paper": [
        *("data.num_cells=900", "data.num_genes=300", "data.num_types=6", "data.batch_size=150"),
        *("data.val_fraction=0.2", "data.test_fraction=0.2", *ONE_ROUND),
    ],
}
# The same on CPUs, of fewer runs and samples.
INSTEAD = {
    "trainer=ddp": "trainer=ddp_cpu",
    "trainer=gpu_captured": "trainer=cpu",
    "seed=0,1,2": "seed=0,1",
    "data.train_samples=6000": "data.train_samples=600",
}
MAKES_LESS = {"simulate-cells": ["num_cells=600", "num_genes=300"], "simulate-rats": []}


def commands(page: Path) -> list[list[str]]:
    """The command lines of mixvae and W&B in the page's code blocks, then those in its sentences.

    A sentence that names a module alone, or leaves out a part (...), has no command.
    """
    text = page.read_text()
    fences = re.findall(r"^```(.*?)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for kind, block in fences if not kind for line in block.splitlines()]
    found = [line for line in lines if line.startswith(("python -m ", "wandb "))]
    inline = re.findall(r"`(python\s+-m\s+mixvae\.\w+\s+[^`]*)`", text)
    found += [line for line in inline if "..." not in line]
    lines = [shlex.split(line) for line in dict.fromkeys(found)]
    return [[INSTEAD.get(word, word) for word in words] for words in lines]


def own_commands() -> dict[Path, list[list[str]]]:
    """Commands of each page that no page before it has, and those whose results they need.

    Those that differ in folder or seed alone count as one.
    """
    found: dict[Path, list[list[str]]] = {}
    seen: set[str] = set()
    for page in PAGES:
        own: list[list[str]] = []
        for words in reversed(commands(page)):
            made = [word.partition("=")[2] for word in words if MAKES.match(word)]
            wanted = any(name in word for line in own for word in line for name in made)
            if wanted or without_place(words) not in seen:
                own.insert(0, words)
        seen |= set(map(without_place, own))
        found[page] = own
    return {page: own for page, own in found.items() if own}


def without_place(words: Sequence[str]) -> str:
    return " ".join(word for word in words if not word.startswith(("run_dir=", "seed=")))


OWN = own_commands()


def shrink(
    module: str, arguments: list[str], mnist_root: Path | None, quiet: Sequence[str] = QUIET
) -> list[str]:
    """The command with overrides that make it small."""
    text = " ".join(arguments)
    if "search=" in text:
        return [*arguments, "num_trials=2", "trainer.max_epochs=2", "pruner=none"]
    if "hydra/launcher=slurm" in text:
        # tests/sweeps/test_slurm.py runs such a sweep on a cluster of scripts
        composed = [line for line in arguments if line not in ("-m", "seed=0,1")]
        return [*composed, "--cfg", "job"]
    if module == "mixvae.data":
        return [*arguments, *MAKES_LESS[arguments[0]]]
    if module != "mixvae.train" or "--help" in arguments or "sweep.resume=" in text:
        return arguments
    arguments = [line.replace("=NAME", "=digits_cpl") for line in arguments]
    if text.startswith("resume="):
        # The README's run was stopped; the one made here has finished, so it is extended.
        return [*arguments, "trainer.max_epochs=3"]
    own = [line for name, lines in SHORT.items() if name in text for line in lines]
    if "images_cpl" in text:
        own += [*TINY, "model.num_agents=2", "model.state_dim=1", "data.least_steps=1"]
    if "=mnist" in text:
        own += [f"data_root={mnist_root}", "data.train_samples=600", "trainer.limit_test_batches=1"]
    if "cells_cpl" in text:
        own += ["callbacks.merging.after_epochs=1", "model.num_agents=2"]
    if "cells_synthetic_order" in text:
        own += ONE_ROUND
    if "digits_order" in text:
        own += [*ONE_ROUND, "model.num_agents=2"]
    if ("digits_cpl" in text and "networks=conv" not in text) or "mnist_cpl" in text:
        own += [*TINY, "model.state_dim=1"]
    if re.search("=(polymnist|cite)_", text) and not re.search(r"model=ae|model\.beta=", text):
        own += ["model.beta=1"]  # the rats choose theirs
    if "--config-name" not in text:  # the config of a run has chosen its logger
        own += [line for line in quiet if re.split("[.=]", line)[-2] not in text]
    return [*arguments, *own, *SHRUNK]


@pytest.fixture
def wandb_server() -> Iterator[SweepServer]:
    with sweep_server() as server:
        yield server


def run_wandb(arguments: list[str], server: SweepServer) -> None:
    """Run the command line of W&B against a server of this machine; a sweep's one run is short."""
    if arguments[0] == "sync":
        sync_nothing(arguments[1:])
        return
    server.settings = {"model.state_dim": 1, "model.optimizer.lr": 0.002}
    server.settings |= {"run_dir": "swept", **dict(line.split("=") for line in SHRUNK)}
    own = {
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "a" * 40,
        "WANDB_ERROR_REPORTING": "false",
    }
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "wandb", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **own, "PATH": scripts},
    )
    assert done.returncode == 0, done.stderr
    if arguments[0] == "sweep":
        assert f"wandb agent {SWEEP}" in done.stderr
        assert server.config
    else:
        assert server.finished
        assert json.loads(Path("swept/summary.json").read_text())["status"] == "finished"
        assert load_config(Path("swept/config.yaml")).model.state_dim == 1


def sync_nothing(paths: Sequence[str]) -> None:
    """Have W&B say what it would send: it finds the run that the README's command left."""
    (path,) = (str(path) for pattern in paths for path in Path().glob(pattern))
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert Path(path).name in done.stdout + done.stderr


def write_arrays(folder: Path) -> None:
    """The user's own arrays that the README speaks of."""
    generator = np.random.default_rng(0)
    label = generator.integers(0, 3, 400)
    for name in "ab":
        np.save(folder / f"{name}.npy", generator.normal(size=(400, 5)) + label[:, None])
    np.save(folder / "y.npy", label)
    np.save(folder / "labels.npy", label)
    images = generator.integers(0, 256, (400, 6, 6), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    (folder / "photos").mkdir()
    for number, image in enumerate(images[:40]):
        Image.fromarray(image).save(folder / "photos" / f"{number}.png")
    np.save(folder / "image.npy", generator.uniform(size=(400, 3, 8, 8)))
    np.save(folder / "caption.npy", np.eye(7)[generator.integers(0, 7, (400, 5))])


def test_the_readme_is_short_and_has_the_commands_of_its_users() -> None:
    assert len(README.read_text().split()) <= 900
    assert len(commands(README)) >= 5
    assert sum(len(commands(page)) for page in PAGES) >= 20


def test_modules_of_the_pages_exist() -> None:
    pages = [*PAGES, MACHINES, ROOT / "CONTRIBUTING.md", ROOT / "experiments/README.md"]
    named = {name for page in pages for name in re.findall(r"python -m ([\w.]+)", page.read_text())}
    assert {"mixvae.train", "experiments.fresh"} <= named
    assert not [name for name in named if find_spec(name) is None]


def test_make_targets_of_the_pages_exist() -> None:
    pages = [README, ROOT / "CONTRIBUTING.md"]
    targets = {name for page in pages for name in re.findall(r"`?make ([a-z-]+)", page.read_text())}
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test", "help"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", line.lower()).replace(" ", "-") for line in headings}


@pytest.mark.parametrize(
    "page",
    [*PAGES, MACHINES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        linked = (page.parent / target).resolve() if target else page
        if linked.parent == ROOT / "docs/generated":
            continue  # made by `make docs`, which checks it
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_the_demo_is_a_command_of_the_pages() -> None:
    command = ["make", "--no-print-directory", "-n", "demo"]
    recipe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    *_, last = recipe.stdout.splitlines()
    _, *words = shlex.split(last)
    assert words == ["-m", "mixvae.train", *DEMO]
    assert ["python", *words] in commands(ROOT / "docs/index.md")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", OWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_the_page_runs(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_arrays(tmp_path)
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    server = request.getfixturevalue("wandb_server")
    for program, *words in OWN[page]:
        if program == "wandb":
            run_wandb(words, server)
            continue
        assert program == "python"
        _, module, *arguments = words
        if "resume=RUN_FOLDER" in arguments:
            assert train.main([*DEMO, *TINY, *SHRUNK, *QUIET, "run_dir=RUN_FOLDER"]) == 0
        root = None
        if "mnist" in " ".join(arguments):
            try:
                root = request.getfixturevalue("real_mnist_root")
            except pytest.skip.Exception:
                continue
        quiet = () if page == README else QUIET
        assert PROGRAMS[module](shrink(module, arguments, root, quiet)) == 0, arguments
