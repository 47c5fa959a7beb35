"""Runs from Python: three lines for each family, errors as exceptions, and nothing disturbed."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch  # noqa: F401  # sets the level of its logger when it is first imported
import numpy as np
import pandas
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import mixvae
from mixvae.cli.errors import UsageError
from mixvae.evaluation.latent_mixture import FILE
from tests.api.conftest import CELLS, IMAGES, MODALITIES, cells, images, modalities


def test_importing_mixvae_imports_nothing_heavy() -> None:
    text = (
        "import sys, time; start = time.process_time(); import mixvae; mixvae.__version__;"
        "assert time.process_time() - start < 0.3;"
        "print(sorted({'torch','numpy','hydra','lightning','wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_train_is_a_function_and_the_module_of_the_command(here: Path) -> None:
    import mixvae.train as command

    assert mixvae.train is command
    assert callable(mixvae.train)
    assert callable(command.main)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = mixvae.trian  # type: ignore[attr-defined]


def test_cells_in_three_lines(here: Path) -> None:
    adata = cells()
    before = adata.copy()
    run = mixvae.train("cells_cpl", *CELLS, data=adata, labels="type")
    assert run.summary["status"] == "finished"
    assert 0 <= run.summary["test/accuracy"] <= 1
    annotated = run.annotate(adata)
    assert "mixvae_category" in annotated.obs
    embedding = run.embed(adata)
    assert embedding.latent.shape == (120, 4)
    assert embedding.category is not None
    assert embedding.category.astype(str).tolist() == list(annotated.obs["mixvae_category"])
    assert (adata.X == before.X).all()
    assert list(adata.obs) == ["type"]
    assert run.sample(3).shape == (3, 40)
    # The same cells with labels beside them are the same run.
    again = mixvae.train("cells_cpl", *CELLS, data=adata, labels=list(adata.obs["type"]))
    assert again.summary["test/accuracy"] == run.summary["test/accuracy"]


@pytest.mark.slow
def test_a_run_on_cells_is_evaluated_on_others(here: Path) -> None:
    run = mixvae.train("cells_cpl", *CELLS, data=cells(), labels="type")
    # Other cells go by the run's genes and unit, which its own would not be.
    other = cells(150)[::2, ::-1].copy()
    other.X *= 2
    other.X[:, 0] += 1
    measured = run.evaluate(data=other, labels="type", name="other")
    assert 0 <= measured["test/accuracy"] <= 1
    assert run.evaluate()["test/reconstruction"] == run.summary["test/reconstruction"]
    with pytest.raises(ValueError, match="35 of 40 wanted genes are missing"):
        run.evaluate(data=other[:, :5].copy(), labels="type", name="few")
    assert not (run.folder / "evaluations" / "few").exists()


def test_modalities_in_three_lines(here: Path) -> None:
    arrays, y = modalities()
    run = mixvae.train("multimodal_mmvm", *MODALITIES, data=arrays, labels=y)
    assert run.summary["status"] == "finished"
    filled = run.impute({"a": arrays["a"][:5]})
    assert filled["b/filled"].shape == (5, 4)
    embedding = run.embed(arrays)
    assert embedding.latent.shape == (90, 8)
    assert set(embedding.modalities) == {"a", "b"}
    samples = run.sample(2)  # MMVM has no prior: from the mixture of its training latents
    assert {name: array.shape for name, array in samples.items()} == {"a": (2, 4), "b": (2, 4)}
    (run.folder / FILE).unlink()
    with pytest.raises(ValueError, match=r"MMVM, which has no prior .* mixvae\.evaluate run="):
        run.sample(2)
    options = (*MODALITIES, "model=mopoe")
    samples = mixvae.train("multimodal_mmvm", *options, data=arrays).sample(2)
    assert {name: array.shape for name, array in samples.items()} == {"a": (2, 4), "b": (2, 4)}


def test_a_run_on_arrays_is_the_run_on_their_files(here: Path, image_run: mixvae.Run) -> None:
    x, y = images()
    np.save("x.npy", x)
    np.save("y.npy", y)
    one = image_run
    two = mixvae.train("images_cpl", *IMAGES, data="x.npy", labels=str(here / "y.npy"))
    assert {**one.summary, "seconds": 0} == {**two.summary, "seconds": 0}
    pandas.testing.assert_frame_equal(one.metrics, two.metrics)
    assert "python:uint8_60x6x6_" in (one.folder / "config.yaml").read_text()


def state() -> dict[str, Any]:
    """Whatever a run might disturb."""
    loggers = [logging.getLogger(name) for name in ("", "mixvae", "lightning.pytorch")]
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    return {
        "python": random.getstate(),
        "numpy": [str(part) for part in np.random.get_state()],
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "precision": torch.get_float32_matmul_precision(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "environment": dict(os.environ),
        "filters": list(warnings.filters),
        "loggers": [(item.level, list(item.handlers), item.propagate) for item in loggers],
        "signals": [signal.getsignal(number) for number in numbers],
        "hydra": GlobalHydra.instance().is_initialized(),
        "folder": Path.cwd(),
    }


def test_a_run_disturbs_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = images()
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    torch.set_num_threads(2)
    signal.signal(signal.SIGINT, lambda *_: None)
    random.seed(5)
    before = state()
    logged = [line for line in IMAGES if line != "logger=csv"]  # to W&B as well
    run = mixvae.train("images_cpl", *logged, "trainer.deterministic=true", data=x, labels=y)
    assert state() == before
    run.evaluate()
    assert state() == before
    with pytest.raises(ValueError, match=r"model\.tau"):
        mixvae.train("images_cpl", *IMAGES, "model.tau=0", data=x)
    assert state() == before
    assert random.random() == random.Random(5).random()


def test_a_run_does_not_depend_on_the_callers_settings(here: Path, image_run: mixvae.Run) -> None:
    x, y = images()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), np.errstate(all="raise"):
            run = mixvae.train("images_cpl", *IMAGES, data=x, labels=y)
            assert run.metrics["val/loss"][0] == image_run.metrics["val/loss"][0]
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.slow
def test_the_first_use_of_a_process_leaves_no_trace() -> None:
    """Packages set variables, add filters and draw random numbers while they are imported."""
    text = """
import os, random, warnings
import mixvae
state = lambda: (dict(os.environ), list(warnings.filters), random.getstate())
before = state()
mixvae.open_run
assert state() == before, "open_run"
try:
    mixvae.train("images_cpI")
except ValueError as error:
    assert "images_cpI" in str(error)
assert state() == before, "train"
"""
    subprocess.run([sys.executable, "-c", text], check=True)


def test_twice_in_a_thread_and_under_asyncio(here: Path, image_run: mixvae.Run) -> None:
    x, y = images()

    def one() -> mixvae.Run:
        return mixvae.train("images_cpl", *IMAGES, data=x, labels=y)

    async def within() -> list[mixvae.Run]:
        return [one(), *await asyncio.gather(asyncio.to_thread(one), asyncio.to_thread(one))]

    found = [image_run, *asyncio.run(within())]
    assert len({run.folder for run in found}) == 4
    assert len({run.summary["val/loss"] for run in found}) == 1


def test_within_an_application_of_hydra(here: Path) -> None:
    x, _ = images()
    (here / "conf").mkdir()
    (here / "conf" / "own.yaml").write_text("answer: 42\n")
    with initialize_config_dir(str(here / "conf"), version_base="1.3"):
        mixvae.train("images_cpl", *IMAGES, data=x)
        assert compose("own").answer == 42


def test_an_interrupt_is_an_interrupt(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mixvae.modules.base.AbstractModule.training_step", stop)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        mixvae.train("images_cpl", *IMAGES, f"run_dir={here / 'run'}", data=images()[0])
    assert mixvae.open_run(here / "run").summary["status"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before


X, Y = images()
BLANK = X.astype(float)
BLANK[2] = np.nan
PAIR, _ = modalities()


class Table:
    """Stands for MuData: AnnData objects by name, and the names of all cells."""

    def __init__(self, **parts: Any) -> None:
        self.mod = parts
        names = dict.fromkeys(name for part in parts.values() for name in part.obs_names)
        self.obs_names = pandas.Index(list(names))
        self.obs = pandas.DataFrame(index=self.obs_names)


WRONG = {
    "an unknown experiment": (UsageError, "images_cpI", ("images_cpI",), {}),
    "an unknown key": (UsageError, r"model\.tau", ("images_cpl", "model.tua=1"), {"data": X}),
    "no data": (ValueError, "data.path names no images", ("images_cpl",), {}),
    "labels alone": (ValueError, "without data", ("images_cpl",), {"labels": Y}),
    "several runs": (UsageError, "trains one run", ("images_cpl", "-m"), {}),
    "no text": (UsageError, "an override is a text", ("images_cpl", 3), {}),
    "data without a name": (UsageError, r"data by name.*data=\.\.\.", ("images_cpl", X), {}),
    "data alone": (UsageError, "got AnnData; give data by name", (cells(),), {}),
    "data twice": (
        UsageError, "data.path is an override", ("images_cpl", "data.path=x.npy"), {"data": X}
    ),
    "nan": (ValueError, "image 2 ", ("images_cpl",), {"data": BLANK}),
    "one image": (ValueError, "has 1 images", ("images_cpl",), {"data": X[:1]}),
    "objects": (
        ValueError,
        "hold Python objects",
        ("images_cpl",),
        {"data": np.array([X[0], None], dtype=object)},
    ),
    "unlike images": (ValueError, "not of one shape", ("images_cpl",), {"data": [X[0], X[1][:3]]}),
    "few labels": (
        ValueError, "59 labels for 60", ("images_cpl",), {"data": X, "labels": Y[:-1]}
    ),
    "many labels": (
        ValueError,
        "labels are whole numbers or texts",
        ("images_cpl",),
        {"data": X, "labels": Y + 0.5},
    ),
    "cells for images": (ValueError, "cells_cpl", ("images_cpl",), {"data": cells()}),
    "modalities for images": (ValueError, "multimodal_mmvm", ("images_cpl",), {"data": PAIR}),
    "images for cells": (ValueError, "images_cpl", ("cells_cpl",), {"data": X}),
    "images for modalities": (ValueError, "a dict of arrays", ("multimodal_mmvm",), {"data": X}),
    "a data set of its own": (ValueError, "DigitsDataModule", ("digits_cpl",), {"data": X}),
    "another family": (
        ValueError, "MMVM is for several", ("multimodal_mmvm", "data=images"),
        {"data": X},
    ),
    "no such column": (
        ValueError, "label_key is 'tyqe'.*type", ("cells_cpl",), {"data": cells(), "labels": "tyqe"}
    ),
    "few labels of cells": (
        ValueError, "2 labels for 120", ("cells_cpl",), {"data": cells(), "labels": ["a", "b"]}
    ),
    "unlike arrays": (
        ValueError, "a 90, b 80", ("multimodal_mmvm",), {"data": {**PAIR, "b": PAIR["b"][:80]}}
    ),
    "few labels of events": (
        ValueError, "3 labels for 90", ("multimodal_mmvm",), {"data": PAIR, "labels": [1, 2, 3]}
    ),
    "a column of arrays": (
        ValueError, "no columns", ("multimodal_mmvm",), {"data": PAIR, "labels": "type"}
    ),
    "arrays and tables": (
        ValueError, "modality a is ndarray", ("multimodal_mmvm",), {"data": {**PAIR, "b": cells()}}
    ),
    "no modality": (ValueError, "a dict of arrays", ("multimodal_mmvm",), {"data": {}}),
    "a missing file": (FileNotFoundError, r"gone\.npy", ("images_cpl",), {"data": "gone.npy"}),
    "several devices": (
        ValueError, "trainer.devices is 2", ("images_cpl", "trainer=ddp_cpu", "trainer.devices=2"),
        {"data": X},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_an_exception_that_names_it(name: str, here: Path) -> None:
    kind, message, arguments, options = WRONG[name]
    with pytest.raises(kind, match=message):
        mixvae.train(*arguments, **options)
    assert list(here.iterdir()) == []


def test_an_own_class_that_raises_tells_its_own_message(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "ownpart.py").write_text(
        "class Own:\n    def __init__(self):\n        raise KeyError('my own trouble')\n"
    )
    monkeypatch.syspath_prepend(here)
    with pytest.raises(KeyError, match="my own trouble") as raised:
        mixvae.train("digits_cpl", "+callbacks.own._target_=ownpart.Own")
    assert "ownpart.py" in str(raised.traceback[-1].path)


def test_anndata_and_mudata_are_joined_by_the_names_of_cells() -> None:
    from mixvae.data.modalities.given_modalities import modalities_of

    one, other = cells(6), cells(6)
    other = other[[5, 4, 3, 2]].copy()
    for data in ({"a": one, "b": other}, Table(a=one, b=other)):
        arrays, labels = modalities_of(data, "type")
        assert np.array_equal(arrays["a"], one.X)
        assert np.array_equal(arrays["b"][2:], one.X[2:])
        assert np.isnan(arrays["b"][:2]).all()
        assert labels is not None
        assert labels.tolist() == list(one.obs["type"])
    with pytest.raises(ValueError, match=r"'tyqe'.*type"):
        modalities_of({"a": one}, "tyqe")
    twice = one[:2].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's own
        twice.obs_names = ["a", "a"]
    with pytest.raises(ValueError, match="same name"):
        modalities_of({"a": twice}, None)


def test_labels_may_be_missing_and_of_any_type() -> None:
    from mixvae.data.files.given import as_labels

    assert as_labels([1.0, np.nan, 2.0], 3, "y").tolist() == [1, -1, 2]
    assert as_labels([True, False], 2, "y").tolist() == [1, 0]
    assert as_labels(pandas.Categorical(["a", None, "b"]), 3, "y").tolist() == ["a", "", "b"]
    assert as_labels(torch.tensor([[1], [2]]), 2, "y").tolist() == [1, 2]


def test_a_name_is_that_of_the_content() -> None:
    from mixvae.data.files.given import name_of

    adata = cells()
    changed = adata.copy()
    changed.obs["type"] = changed.obs["type"].to_numpy()[::-1]
    assert name_of(adata) == name_of(adata.copy())
    assert name_of(adata) != name_of(changed)
    assert name_of(X) == name_of(np.asfortranarray(X))
    assert name_of(X) != name_of(X[::-1])
    assert SimpleNamespace(name=name_of(Y)).name.startswith("python:int64_60_")
